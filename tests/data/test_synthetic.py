"""Synthetic modalities: the declared amounts of information are those of the distribution that makes the table."""

import itertools
import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from mmbert.core.errors import ConfigError
from mmbert.data.modalities.registry import modality_named
from mmbert.data.synthetic import (
    SYNTHETIC_CARD,
    Recipe,
    SyntheticModalities,
    build_synthetic,
    codebooks,
    lost_at_most,
    misread_at_most,
)
from mmbert.data.synthetic_information import SETTINGS, Information
from mmbert.data.tables.vector_width import first_vector_width

COVERS = ("synthetic_information",)

CASES = [
    *(Information(**bits) for bits in SETTINGS.values()),
    Information(2, 0, 1),
    Information(1, 1, 1, modalities=3),
    Information(0, 0, 2, modalities=4),
]


def entropy(*columns):
    """H in bits of rows that are equally likely; columns (N, k)."""
    joint = np.concatenate([column.reshape(len(column), -1) for column in columns], 1)
    counts = np.unique(joint, axis=0, return_counts=True)[1]
    shares = counts / counts.sum()
    return -(shares * np.log2(shares)).sum()


@pytest.mark.parametrize("information", CASES, ids=str)
def test_every_mutual_information_is_that_of_the_exact_distribution(information):
    latent = information.states()
    label = np.concatenate(list(information.label(latent).values()), 1)
    seen = information.seen(latent)
    told = information.facts()["mutual_information"]
    assert len(told) == 2**information.modalities - 1
    for size in range(1, information.modalities + 1):
        for group in itertools.combinations(range(information.modalities), size):
            exact = entropy(label) + entropy(seen[:, group]) - entropy(label, seen[:, group])
            assert told["+".join(information.names[m] for m in group)] == pytest.approx(exact, abs=1e-12)
    assert information.facts()["label_entropy"] == pytest.approx(entropy(label), abs=1e-12)


@pytest.mark.parametrize("information", [case for case in CASES if case.modalities == 2], ids=str)
def test_the_parts_are_the_decomposition_of_the_mutual_informations(information):
    facts = information.facts()
    known, unique = facts["mutual_information"], facts["unique"]
    assert known["a"] == facts["redundant"] + unique["a"]
    assert known["b"] == facts["redundant"] + unique["b"]
    assert known["a+b"] == facts["redundant"] + sum(unique.values()) + facts["synergistic"]


def joint_distribution(information):
    """P (Y, A, B) as an array, from every latent state."""
    latent = information.states()
    seen = information.seen(latent)

    def number(bits):
        return bits @ (2 ** np.arange(bits.shape[1]))

    label = number(np.concatenate(list(information.label(latent).values()), 1))
    table = np.zeros((2**information.label_bits, 2**information.seen_bits, 2**information.seen_bits))
    np.add.at(table, (label, number(seen[:, 0]), number(seen[:, 1])), 1 / len(latent))
    return table


def conditional_information(table):
    """I(Y; A | B) in bits of an array (Y, A, B)."""

    def h(marginal):
        positive = marginal[marginal > 1e-15]
        return -(positive * np.log2(positive)).sum()

    return h(table.sum(0)) + h(table.sum(1)) - h(table) - h(table.sum((0, 1)))


def unique_information(table):
    """The least I_Q(Y; A | B) over Q with the same (Y, A) and (Y, B), by a general optimiser.

    Given y, such Q are couplings of two marginals. Directions between couplings are the moves of mass around the
    rectangles (a, b), (a, b'), (a', b'), (a', b).
    """
    moves = []
    for y in range(table.shape[0]):
        rows, cols = np.flatnonzero(table[y].sum(1)), np.flatnonzero(table[y].sum(0))
        for a, b in itertools.product(rows[1:], cols[1:]):
            move = np.zeros_like(table)
            move[y, rows[0], cols[0]] = move[y, a, b] = 1
            move[y, rows[0], b] = move[y, a, cols[0]] = -1
            moves.append(move)
    if not moves:
        return conditional_information(table)
    directions = np.stack(moves).reshape(len(moves), -1)
    touched = np.flatnonzero(np.abs(directions).sum(0))

    def at(steps):
        return table.reshape(-1) + steps @ directions

    found = minimize(
        lambda steps: conditional_information(np.clip(at(steps), 0, None).reshape(table.shape)),
        np.full(len(moves), 1e-4) / len(moves),  # not the true one itself: a corner of the couplings has no slope
        constraints={
            "type": "ineq",
            "fun": lambda steps: at(steps)[touched],
            "jac": lambda _: directions[:, touched].T,
        },
        method="SLSQP",
        options={"maxiter": 200, "ftol": 1e-12},
    )
    return found.fun


@pytest.mark.parametrize("information", CASES[:5], ids=str)
def test_unique_information_is_that_of_bertschinger_and_others(information):
    table = joint_distribution(information)
    assert unique_information(table) == pytest.approx(information.unique, abs=1e-4)
    assert unique_information(table.swapaxes(1, 2)) == pytest.approx(information.unique, abs=1e-4)
    # I(Y; A | B) of the true distribution = unique + synergistic
    assert conditional_information(table) == pytest.approx(information.unique + information.synergistic, abs=1e-12)


def test_the_optimiser_finds_what_is_published_for_and():
    # table 1 of Bertschinger et al. 2014: Y = A and B has no unique information, 0.311 redundant and 0.5 synergistic
    table = np.zeros((2, 2, 2))
    for a, b in itertools.product((0, 1), repeat=2):
        table[a & b, a, b] = 0.25
    assert unique_information(table) == pytest.approx(0.0, abs=1e-3)
    assert conditional_information(table) == pytest.approx(0.5, abs=1e-12)


def small(**options):
    information = Information.of(options.pop("setting", "mixed"), options.pop("modalities", 2))
    return Recipe(information, **{"sizes": {"train": 40, "val": 10, "test": 20}, "dim": 6, "length": 3, **options})


@pytest.mark.parametrize("embedding", ["linear", "nonlinear"])
def test_every_row_can_be_read_back_to_its_label(tmp_path, embedding):
    recipe = small(embedding=embedding, noise=0.05)
    rows = pq.read_table(build_synthetic(tmp_path / "set", recipe)).to_pylist()
    assert [row["split"] for row in rows] == ["train"] * 40 + ["val"] * 10 + ["test"] * 20
    books = codebooks(recipe)
    for row in rows:
        bits = {}
        for m, name in enumerate("ab"):
            tokens = np.array(row[name])
            assert tokens.shape == (3, 6)
            code = int(np.linalg.norm(books[m] - tokens.mean(0), axis=1).argmin())
            bits[name] = f"{code:03b}"  # redundant, unique, private
        assert bits["a"][0] == bits["b"][0]
        parity = int(bits["a"][2]) ^ int(bits["b"][2])
        assert row["label"] == f"y{bits['a'][0]}{bits['a'][1]}{bits['b'][1]}{parity}"
        assert (row["redundant"], row["unique_a"]) == (f"y{bits['a'][0]}", f"y{bits['a'][1]}")
        assert (row["unique_b"], row["synergistic"]) == (f"y{bits['b'][1]}", f"y{parity}")


def test_linear_code_words_lie_two_apart_for_every_bit():
    book = codebooks(small(setting="mixed"))[1]
    for one, other in itertools.product(range(8), repeat=2):
        differing = (one ^ other).bit_count()
        assert np.linalg.norm(book[one] - book[other]) == pytest.approx(2 * math.sqrt(differing), abs=1e-9)


def test_nonlinear_code_words_do_not_add_up_but_are_as_long():
    book = codebooks(small(setting="mixed", embedding="nonlinear"))[0]
    assert np.linalg.norm(book, axis=1) == pytest.approx(math.sqrt(3), abs=1e-9)
    assert np.linalg.norm(book[0] + book[3] - book[1] - book[2]) > 0.1  # 0 for linear ones


def test_the_card_says_what_noise_can_cost(tmp_path):
    recipe = small(setting="synergy", noise=0.8, length=1, sizes={"train": 4000, "val": 1, "test": 1})
    table = build_synthetic(tmp_path / "set", recipe)
    card = json.loads((table.parent / SYNTHETIC_CARD).read_text())
    # one bit, words 2 apart: the error is Q(1 / 0.8) = 0.10565
    assert card["noise"]["misread_at_most"]["a"] == pytest.approx(norm.sf(1 / 0.8), abs=1e-12)
    error = norm.sf(1 / 0.8)
    lost = -error * math.log2(error) - (1 - error) * math.log2(1 - error)
    assert card["noise"]["bits_lost_at_most"]["b"] == pytest.approx(lost, abs=1e-12)
    rows, book = pq.read_table(table).to_pylist(), codebooks(recipe)
    codes = [
        [int(np.linalg.norm(book[m] - np.array(row[name])[0], axis=1).argmin()) for m, name in enumerate("ab")]
        for row in rows
    ]
    right = np.mean([f"y{a ^ b}" == row["label"] for (a, b), row in zip(codes, rows, strict=True)])
    expected = (1 - error) ** 2 + error**2  # both read rightly, or both wrongly
    assert abs(right - expected) < 4 * math.sqrt(expected * (1 - expected) / len(rows))
    assert card["information"] == Information.of("synergy").facts()


def test_bounds_of_the_noise_are_0_without_noise_and_never_above_what_is_there():
    recipe = small(noise=0.0)
    assert misread_at_most(recipe, codebooks(recipe)[0]) == 0.0
    assert lost_at_most(0.0, 3) == 0.0 and lost_at_most(1.0, 3) == 3.0
    assert lost_at_most(0.875, 3) == 3.0 and lost_at_most(0.874, 3) == pytest.approx(3.0, abs=1e-4)


def test_the_same_options_give_the_same_bytes_and_others_do_not(tmp_path):
    bytes_of = [build_synthetic(tmp_path / str(n), small()).read_bytes() for n in range(2)]
    assert bytes_of[0] == bytes_of[1] != build_synthetic(tmp_path / "other", small(seed=1)).read_bytes()
    changes = [{"seed": 1}, {"noise": 0.1}, {"length": 2}, {"dim": 7}, {"embedding": "nonlinear"}, {"modalities": 3}]
    assert len({small(**change).fingerprint() for change in [{}, *changes]}) == 7


def test_the_data_module_gives_sequences_of_any_number_of_modalities(tmp_path):
    sizes = {"train": 20, "val": 5, "test": 5}
    data = SyntheticModalities(tmp_path, setting="synergy", modalities=3, sizes=sizes, dim=5, length=2)
    assert data.test_splits == ["test"]
    assert [first_vector_width(data.table, name, modality_named("features"), {}) for name in "abc"] == [5, 5, 5]
    assert set(data.cells("label")) == {"y0", "y1"} and not data.has_column("redundant")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"setting": "synergi"}, "data.setting=synergi.*Did you mean 'synergy'"),
        ({"modalities": 1}, "data.modalities=1: it must be from 2 to 8"),
        ({"bits": {"unique": -1}}, "data.bits.unique=-1"),
        ({"bits": {"unique": 4}}, "The label has 9 bits"),
        ({"bits": {"synergistic": 0}}, "The label has 0 bits"),
        ({"sizes": {"train": 0}}, "data.sizes.train=0"),
        ({"length": 0}, "data.length=0"),
        ({"noise": -1.0}, "data.noise=-1.0"),
        ({"noise": math.nan}, "data.noise=nan"),
        ({"setting": "mixed", "dim": 2}, "data.dim=2: each modality sees 3 bits"),
        ({"embedding": "linaer"}, "Did you mean 'linear'"),
        ({"build_seed": -1}, "data.build_seed=-1"),
    ],
)
def test_an_option_out_of_range_is_refused(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        SyntheticModalities(tmp_path, **options)
