"""The bilinear family against NumPy written from the papers, with modalities missing and padding."""

from functools import reduce
from itertools import combinations, product

import numpy as np
import pytest
import torch

from mmbert.core.errors import ConfigError
from mmbert.fusion.bilinear import BilinearFusion
from mmbert.fusion.mcb import CountSketch, MCBFusion, convolved
from mmbert.fusion.mfb import MFBFusion
from mmbert.fusion.mlb import MLBFusion
from mmbert.fusion.mutan import MUTANFusion
from mmbert.testing import check_fusion, random_inputs

DIMS = {"text": 4, "image": 3, "audio": 5}
PAIR = {"text": 4, "image": 3}
PRESENT = [[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 0]]
WIDTH = 8


def built(kind, dims=DIMS, **options):
    """In float64, evaluation mode, with every parameter moved off its first value."""
    torch.manual_seed(3)
    fusion = kind(dims, WIDTH, **options).double().eval()
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return fusion, {name: tensor.detach().numpy() for name, tensor in fusion.state_dict().items()}


def samples(dims=DIMS):
    """The batch, and for each sample {modality: vector} of those that it has."""
    here = torch.tensor([row[: len(dims)] for row in PRESENT if any(row[: len(dims)])]).bool()
    inputs = random_inputs(dims, len(here), present=here, dtype=torch.float64)
    rows = [{m: x.pooled[b].numpy() for m, x in inputs.items() if x.mask[b].any()} for b in range(len(here))]
    assert len(rows[0]) == len(dims)  # all present: the published formula itself
    return inputs, rows


def norm(x, w, name):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]


def linear(x, w, name):
    return w[f"{name}.weight"] @ x + w.get(f"{name}.bias", 0)


def projected(m, x, w):
    return linear(norm(x, w, f"project.{m}.norm"), w, f"project.{m}.linear")


def normalised(c):
    y = np.sign(c) * np.sqrt(np.abs(c))
    return y / np.linalg.norm(y)


def assert_agrees(fusion, inputs, expected, atol=1e-12):
    np.testing.assert_allclose(fusion(inputs).pooled.detach(), np.stack(expected), rtol=0, atol=atol)


@pytest.mark.parametrize("joint_dim", [6, None])
@pytest.mark.parametrize("dims", [PAIR, DIMS])
def test_bilinear_is_the_sum_of_bilinear_forms_of_all_pairs(dims, joint_dim):
    fusion, w = built(BilinearFusion, dims, joint_dim=joint_dim)
    inputs, rows = samples(dims)
    width = {m: joint_dim or d for m, d in dims.items()}
    pairs = list(combinations(dims, 2))
    parts = np.split(w["out.weight"], np.cumsum([width[i] * width[j] for i, j in pairs])[:-1], axis=1)
    forms = {
        (i, j): part.reshape(WIDTH, width[i], width[j]) for (i, j), part in zip(pairs, parts, strict=True)
    }  # T_h for each pair
    expected = []
    for row in rows:
        x = {m: projected(m, v, w) if joint_dim else norm(v, w, f"norms.{m}") for m, v in row.items()}
        total = w["out.bias"].copy()
        for (i, j), form in forms.items():
            if i in x or j in x:
                first, second = (x.get(m, np.ones(width[m])) for m in (i, j))
                total += np.array([first @ form[h] @ second for h in range(WIDTH)])
        expected.append(total)
    assert_agrees(fusion, inputs, expected)


def test_bilinear_of_one_modality_is_a_linear_map():
    fusion, w = built(BilinearFusion, {"text": 4}, joint_dim=6)
    inputs, rows = samples({"text": 4})
    assert_agrees(fusion, inputs, [linear(projected("text", row["text"], w), w, "out") for row in rows])


def test_bilinear_keeps_the_contract_without_projection_too():
    laws = ["absence does not speak", "presence speaks", "everything learns", "number formats are kept"]
    assert check_fusion(BilinearFusion, joint_dim=None, dims=DIMS, only=laws).passed


@pytest.mark.parametrize("dims", [PAIR, DIMS])
def test_mlb_multiplies_the_squashed_projections_of_the_present(dims):
    fusion, w = built(MLBFusion, dims, joint_dim=6)
    inputs, rows = samples(dims)
    assert_agrees(
        fusion,
        inputs,
        [linear(np.prod([np.tanh(projected(m, x, w)) for m, x in row.items()], axis=0), w, "out") for row in rows],
    )


def test_mlb_is_a_bilinear_form_of_rank_d_without_its_tanh():
    """Equation 3 of the paper: xᵀ U_i V_iᵀ y, all its forms sharing U and V; for tiny x and y tanh(u) = u."""
    fusion, _ = built(MLBFusion, PAIR, joint_dim=6, normalize=False)
    with torch.no_grad():
        for projection in fusion.project.values():
            projection.linear.bias.zero_()
        fusion.out.bias.zero_()
    u, v, p = (layer.weight.detach().numpy() for layer in (*[x.linear for x in fusion.project.values()], fusion.out))
    inputs = random_inputs(PAIR, 3, dtype=torch.float64)
    small = {m: type(x)(x.tokens * 1e-5, x.mask, x.pooled * 1e-5) for m, x in inputs.items()}
    x, y = (e.pooled.numpy() for e in small.values())
    forms = np.einsum("hd,di,dj->hij", p, u, v)
    expected = np.einsum("bi,hij,bj->bh", x, forms, y) * 1e10
    np.testing.assert_allclose(fusion(small).pooled.detach() * 1e10, expected, atol=1e-7)


@pytest.mark.parametrize("dims", [PAIR, DIMS])
def test_mfb_sums_groups_of_k_neighbours_and_normalises(dims):
    fusion, w = built(MFBFusion, dims, joint_dim=6, factors=3)
    inputs, rows = samples(dims)
    expected = []
    for row in rows:
        e = np.prod([projected(m, x, w) for m, x in row.items()], axis=0)
        sums = np.array([e[3 * i] + e[3 * i + 1] + e[3 * i + 2] for i in range(6)])
        expected.append(linear(normalised(sums), w, "out"))
    assert_agrees(fusion, inputs, expected)


def test_mfb_drops_products_in_training_before_they_are_summed():
    torch.manual_seed(0)
    fusion = MFBFusion(PAIR, WIDTH, joint_dim=64, factors=2, dropout=0.0, product_dropout=0.5).train()
    seen = {}
    fusion.product_dropout.register_forward_hook(lambda module, args, out: seen.update(before=args[0], after=out))
    fusion(random_inputs(PAIR))
    assert seen["before"].shape == (4, 128)
    kept = seen["after"] != 0
    assert 0.4 < kept.float().mean() < 0.6
    torch.testing.assert_close(seen["after"][kept], 2 * seen["before"][kept])


@pytest.mark.parametrize("dims", [PAIR, DIMS])
def test_mutan_contracts_a_core_tensor_whose_slices_are_sums_of_r_outer_products(dims):
    t, rank = 4, 3
    fusion, w = built(MUTANFusion, dims, joint_dim=t, rank=rank)
    inputs, rows = samples(dims)
    expected = []
    for row in rows:
        x = {m: np.tanh(projected(m, v, w)) for m, v in row.items()}
        vectors = {m: w[f"core.{m}.weight"].reshape(rank, t, t) for m in row}  # [r, k] is column k of M_m^r
        s = np.zeros(t)
        for k in range(t):
            core = sum(reduce(np.multiply.outer, [vectors[m][r, k] for m in row]) for r in range(rank))
            for value in x.values():  # mode by mode: the slice of the core is contracted with every vector
                core = np.tensordot(value, core, axes=(0, 0))
            s[k] = core
        expected.append(linear(s, w, "out"))
    assert_agrees(fusion, inputs, expected)


# ------------------------------------------------------------------------------------------------ count sketch and FFT


def sketch_by_hand(x, bins, h, s):
    """The count sketch of a vector, element by element."""
    out = np.zeros(bins)
    for i, value in enumerate(x):
        out[h[i]] += s[i] * value
    return out


def sketch_of(fusion, m):
    return fusion.sketch[m].bin_of.numpy(), fusion.sketch[m].sign_of.numpy().astype(float)


@pytest.mark.parametrize("bins", [8, 7, 64])  # even, odd, and with bins that stay empty
@pytest.mark.parametrize("dims", [PAIR, DIMS])
def test_mcb_is_the_count_sketch_of_the_outer_product_of_the_present(dims, bins):
    fusion, w = built(MCBFusion, dims, sketch_dim=bins, sketch_seed=5)
    inputs, rows = samples(dims)
    expected = []
    for row in rows:
        c = np.zeros(bins)
        for places in product(*[range(dims[m]) for m in row]):  # the outer product, never formed by the strategy
            value, place = 1.0, 0
            for m, i in zip(row, places, strict=True):
                h, s = sketch_of(fusion, m)
                value *= s[i] * norm(row[m], w, f"norms.{m}")[i]
                place += h[i]
            c[place % bins] += value
        expected.append(linear(normalised(c), w, "out"))
    assert_agrees(fusion, inputs, expected, atol=1e-6)


def test_the_sketch_is_that_of_the_formula_and_convolution_is_circular():
    generator = torch.Generator().manual_seed(1)
    first, second = CountSketch(20, 8, generator), CountSketch(6, 8, generator)
    x, y = torch.randn(3, 20, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)
    a, b = (
        np.stack([sketch_by_hand(row, 8, k.bin_of.numpy(), k.sign_of.numpy()) for row in v.numpy()])
        for k, v in ((first, x), (second, y))
    )
    np.testing.assert_allclose(first(x), a, atol=1e-12)
    circular = np.stack([[sum(a[n, j] * b[n, (k - j) % 8] for j in range(8)) for k in range(8)] for n in range(3)])
    here, gone = torch.ones(3, dtype=torch.bool), torch.tensor([False, True, True])
    np.testing.assert_allclose(convolved([first(x), second(y)], [here, here]), circular, atol=1e-12)
    left = convolved([first(x), second(y)], [here, gone])  # row 0 lacks the second: its first is left as it is
    np.testing.assert_allclose(left, np.concatenate([a[:1], circular[1:]]), atol=1e-12)


def test_the_scalar_product_of_sketches_is_right_on_average_over_every_possible_draw():
    """All 3² bins and 2² signs for D = 2: the expectation is exact, and no single draw need be."""
    sketch = CountSketch(2, 3, torch.Generator())
    x, y = torch.tensor([[1.5, -2.0], [0.5, 3.0]], dtype=torch.float64), torch.tensor([[2.0, 1.0]], dtype=torch.float64)
    found = []
    for bins in product(range(3), repeat=2):
        for signs in product((-1, 1), repeat=2):
            sketch.bin_of, sketch.sign_of = torch.tensor(bins), torch.tensor(signs, dtype=torch.int8)
            found.append(sketch(x) @ sketch(y).T)
    torch.testing.assert_close(torch.stack(found).mean(0), x @ y.T)
    assert max((one - x @ y.T).abs().max() for one in found) > 1


def test_bins_and_signs_are_drawn_evenly_and_for_each_modality_anew():
    fusion = MCBFusion({"text": 6000, "image": 6000}, 2, sketch_dim=6)
    (h, s), (other_h, other_s) = sketch_of(fusion, "text"), sketch_of(fusion, "image")
    counts = np.bincount(h, minlength=6)
    assert counts.sum() == 6000 and len(counts) == 6 and abs(counts - 1000).max() < 5 * np.sqrt(1000)
    assert set(s) == {-1.0, 1.0} and abs(s.mean()) < 5 / np.sqrt(6000)
    assert abs((h == other_h).mean() - 1 / 6) < 0.03 and abs((s * other_s).mean()) < 5 / np.sqrt(6000)


def test_the_draw_depends_on_its_own_seed_alone_and_is_saved():
    torch.manual_seed(1)
    first = MCBFusion(PAIR, WIDTH, sketch_dim=64)
    torch.manual_seed(2)
    second = MCBFusion(PAIR, WIDTH, sketch_dim=64)
    other = MCBFusion(PAIR, WIDTH, sketch_dim=64, sketch_seed=1)
    assert torch.equal(first.sketch["text"].bin_of, second.sketch["text"].bin_of)
    assert not torch.equal(first.sketch["text"].bin_of, other.sketch["text"].bin_of)
    other.load_state_dict(first.state_dict())
    inputs = random_inputs(PAIR)
    assert torch.equal(other.eval()(inputs).pooled, first.eval()(inputs).pooled)


@pytest.mark.parametrize("present", [[[1, 1, 1, 1, 1]], [[1, 1, 0, 0, 0]]])
def test_bins_that_nothing_is_thrown_into_stay_empty_in_float32(present):
    """Five vectors of 2 fill at most 32 of 4096 bins; without a threshold the others would hold round-off."""
    dims = dict.fromkeys(["a", "b", "c", "d", "e"], 2)
    generator = torch.Generator().manual_seed(0)
    here = torch.tensor(present).bool()
    sketches = [CountSketch(d, 4096, generator)(torch.randn(1, d, generator=generator)) for d in dims.values()]
    c = convolved(sketches, list(here.T))
    assert 0 < (c != 0).sum() <= 2 ** int(here.sum())
    exact = convolved([sketch.double() for sketch in sketches], list(here.T))
    torch.testing.assert_close(c.double(), exact, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------------------------------------------- what is common


@pytest.mark.parametrize("kind", [BilinearFusion, MLBFusion, MFBFusion, MUTANFusion, MCBFusion])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_what_comes_out_is_of_order_one_at_the_start(kind, count):
    dims = dict(zip("abcde"[:count], (64, 48, 80, 32, 56), strict=False))
    sizes = []
    for seed in range(4):
        torch.manual_seed(seed)
        inputs = random_inputs(dims, 16, seed=seed)
        sizes.append(kind(dims, 64).eval()(inputs).pooled.detach().square().mean())
    assert 0.5 < float(torch.stack(sizes).mean().sqrt()) < 1.6


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (BilinearFusion, {"joint_dim": 0}, "fusion.joint_dim=0 must be 1 or more, or null"),
        (MLBFusion, {"joint_dim": 0}, "fusion.joint_dim=0 must be 1 or more"),
        (MFBFusion, {"factors": 0}, "fusion.factors=0 must be 1 or more"),
        (MUTANFusion, {"rank": 0}, "fusion.rank=0 must be 1 or more"),
        (MCBFusion, {"sketch_dim": 1}, "fusion.sketch_dim=1 must be 2 or more"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(kind, options, message):
    with pytest.raises(ConfigError, match=message):
        kind(DIMS, **options)
