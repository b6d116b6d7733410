"""Synthetic data set: sequences of vectors whose mutual information with the label is known for each modality.

The latent bits and the label are those of ``mmbert.data.synthetic_information``. What a modality sees of them becomes
a code word, and each of its L tokens is that word with noise of its own:

    x_l = e(s) + σ ε_l,    ε_l ~ N(0, I_D),    s in {-1, 1}^k

    linear       e(s) = W s,                      W (D, k) with orthonormal columns
    nonlinear    e(s) = √k W tanh(2 V s + c) / |tanh(2 V s + c)|,    W (D, D) orthogonal, V (D, k) and c (D,) normal

W, V and c are drawn once for each modality. With noise a modality carries a little less than its bits: the card gives
how often the nearest code word is the wrong one, and what that can cost at most.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmbert.core.errors import ConfigError, DataError, nearest
from mmbert.core.home import home
from mmbert.core.ranges import OneOf, Range
from mmbert.core.whole_files import building, whole_folder
from mmbert.data.datamodule import MultimodalData
from mmbert.data.synthetic_information import Information

SYNTHETIC_VERSION = 1
TABLE = "samples.parquet"
SYNTHETIC_CARD = "card.json"
EMBEDDINGS = ("linear", "nonlinear")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what is built.

    Attributes:
        information: the label's bits and who sees them.
        sizes: rows by split.
        dim: D, numbers in a vector.
        length: L, tokens in a sequence.
        noise: σ, deviation of the noise on each number; code words of one bit lie 2 apart.
        embedding: ``linear`` or ``nonlinear``.
        seed: of all draws.

    Raises:
        ConfigError: a value outside its range, by its name in the config.
    """

    information: Information
    sizes: Mapping[str, int] = field(default_factory=lambda: {"train": 2000, "val": 500, "test": 1000})
    dim: int = 16
    length: int = 4
    noise: float = 0.3
    embedding: str = "linear"
    seed: int = 0

    def __post_init__(self) -> None:
        counts = {f"sizes.{split}": rows for split, rows in self.sizes.items()} | {"length": self.length}
        for name, count in counts.items():
            if count < 1:
                raise ConfigError(f"data.{name}={count}: it must be a whole number, 1 or more.")
        if self.seed < 0:
            raise ConfigError(f"data.build_seed={self.seed}: it must be 0 or more.")
        if self.dim < self.information.seen_bits:
            raise ConfigError(
                f"data.dim={self.dim}: each modality sees {self.information.seen_bits} bits and needs as many numbers."
            )
        if not (0 <= self.noise < math.inf):
            raise ConfigError(f"data.noise={self.noise}: it must be 0 or more.")
        if self.embedding not in EMBEDDINGS:
            raise ConfigError(f"data.embedding={self.embedding}: {nearest(self.embedding, EMBEDDINGS)}")

    def fingerprint(self) -> str:
        """Ten hexadecimal digits that change with any option."""
        text = json.dumps({"version": SYNTHETIC_VERSION, **asdict(self)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]


class SyntheticModalities(MultimodalData):
    """Sequences of vectors with a known share in the label; built where they are missing.

    Columns: ``id``, ``split``, one for each modality (``a``, ``b``, ...), ``label``, and the label's bits by kind
    (``redundant``, ``unique_a``, ..., ``synergistic``), as far as there are any: each of them can be a task of its own.

    Args:
        folder: where it is kept; None = under the environment variable MMBERT_HOME, else ~/.cache/mmbert.
        build_seed: of what is built, whatever the run's own seed.
        setting: ``redundancy``, ``uniqueness``, ``synergy`` or ``mixed``.
        bits: other amounts than the setting's: ``redundant``, ``unique`` (of each modality), ``synergistic``.
        modalities: M.
        sizes: rows by split: train, val, test.
        dim: D, numbers in a vector.
        length: L, tokens in a sequence.
        noise: deviation of the noise on each number.
        embedding: ``linear`` or ``nonlinear``.
        **loading: options of ``MultimodalData``.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        build_seed: int = 0,
        setting: Annotated[str, OneOf("redundancy", "uniqueness", "synergy", "mixed")] = "synergy",
        bits: Mapping[str, int | None] | None = None,
        modalities: Annotated[int, Range(2, 8)] = 2,
        sizes: Mapping[str, int] | None = None,
        dim: Annotated[int, Range(1)] = 16,
        length: Annotated[int, Range(1)] = 4,
        noise: Annotated[float, Range(0)] = 0.3,
        embedding: Annotated[str, OneOf("linear", "nonlinear")] = "linear",
        **loading: Any,
    ) -> None:
        information = Information.of(setting, modalities, **(bits or {}))
        more: dict[str, Any] = {"sizes": dict(sizes)} if sizes else {}
        recipe = Recipe(information, dim=dim, length=length, noise=noise, embedding=embedding, seed=build_seed, **more)
        name = f"synthetic-v{SYNTHETIC_VERSION}-{recipe.fingerprint()}"
        super().__init__(build_synthetic(home(folder) / name, recipe), **loading)


def build_synthetic(folder: Path, recipe: Recipe) -> Path:
    """The table in ``folder``, built unless it is already there; returns its path.

    It is built beside the folder and renamed when it is whole, by one process at a time.

    Raises:
        DataError: nothing can be written there.
    """
    table = folder / TABLE
    if table.is_file():
        return table
    try:
        with building(folder):
            if table.is_file():  # another process was quicker: what it has built is the same
                return table
            books = codebooks(recipe)
            with whole_folder(folder) as scratch:
                pq.write_table(pa.table(columns(recipe, books)), scratch / TABLE)
                (scratch / SYNTHETIC_CARD).write_text(
                    json.dumps(synthetic_card(recipe, books), indent=2) + "\n", encoding="utf-8"
                )
    except OSError as error:
        raise DataError(
            f"The synthetic modalities cannot be written to {folder} ({error.strerror or error}). Name another place "
            "with data.folder=DIR or the environment variable MMBERT_HOME."
        ) from error
    return table


def codebooks(recipe: Recipe) -> np.ndarray:
    """(M, 2^k, D): each modality's code word for every state of the k bits that it sees, the first bit the highest."""
    k, dim = recipe.information.seen_bits, recipe.dim
    signs = 2.0 * unpack(np.arange(2**k), k) - 1  # (2^k, k)
    books = []
    for modality in range(recipe.information.modalities):
        rng = np.random.default_rng([recipe.seed, 0, modality])
        turned = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
        if recipe.embedding == "linear":
            books.append(signs @ turned[:, :k].T)
            continue
        hidden = np.tanh(2 * signs @ rng.normal(size=(k, dim)) + rng.normal(size=dim))
        books.append(math.sqrt(k) * hidden / np.linalg.norm(hidden, axis=1, keepdims=True) @ turned.T)
    return np.stack(books)


def columns(recipe: Recipe, books: np.ndarray) -> dict[str, Any]:
    """The table's columns; the rows of a split do not depend on the sizes of the others."""
    parts = [split_columns(recipe, books, number, split) for number, split in enumerate(recipe.sizes)]
    return {name: [cell for part in parts for cell in part[name]] for name in parts[0]}


def split_columns(recipe: Recipe, books: np.ndarray, number: int, split: str) -> dict[str, list[Any]]:
    """The columns of one split."""
    information, rows = recipe.information, recipe.sizes[split]
    rng = np.random.default_rng([recipe.seed, 1, number])
    latent = rng.integers(2, size=(rows, information.latent_bits))
    seen, bits = pack(information.seen(latent)), information.label(latent)
    noise = recipe.noise * rng.normal(size=(rows, information.modalities, recipe.length, recipe.dim))
    cells: dict[str, list[Any]] = {"id": [f"{split}-{row:05d}" for row in range(rows)], "split": [split] * rows}
    for m, name in enumerate(information.names):
        tokens = books[m][seen[:, m], None] + noise[:, m]  # (rows, L, D)
        cells[name] = [list(sequence) for sequence in tokens.astype(np.float32)]
    cells["label"] = state_names(np.concatenate(list(bits.values()), axis=1))
    return cells | {kind: state_names(values) for kind, values in bits.items()}


def unpack(codes: np.ndarray, k: int) -> np.ndarray:
    """codes (N,) -> (N, k) bits, the highest first."""
    return codes[:, None] >> np.arange(k - 1, -1, -1) & 1


def pack(bits: np.ndarray) -> np.ndarray:
    """bits (..., k) -> codes (...), the first bit the highest."""
    return bits @ (1 << np.arange(bits.shape[-1] - 1, -1, -1))


def state_names(bits: np.ndarray) -> list[str]:
    """bits (N, k) -> ``y01``, ...: a class for every state, with a letter in front, for a class is no number."""
    return ["y" + "".join(map(str, row)) for row in bits.tolist()]


def synthetic_card(recipe: Recipe, books: np.ndarray) -> dict[str, Any]:
    """What is in the folder: the decomposition in bits, what the noise takes of it at most, and the options."""
    wrong = [misread_at_most(recipe, book) for book in books]
    names = recipe.information.names
    k = recipe.information.seen_bits
    return {
        "name": "synthetic",
        "version": SYNTHETIC_VERSION,
        "fingerprint": recipe.fingerprint(),
        "information": recipe.information.facts(),
        "noise": {
            "misread_at_most": dict(zip(names, wrong, strict=True)),
            "bits_lost_at_most": dict(zip(names, [lost_at_most(error, k) for error in wrong], strict=True)),
        },
        "options": asdict(recipe),
        "papers": ["Williams & Beer 2010, arXiv:1004.2515", "Bertschinger et al. 2014, arXiv:1311.2852"],
    }


def misread_at_most(recipe: Recipe, book: np.ndarray) -> float:
    """How often the code word nearest to the mean of a sequence is the wrong one, at most.

    The union bound over pairs of words: the mean of L tokens has noise σ/√L along the line between two words that lie d
    apart, so one is taken for the other with probability Q(d √L / 2σ), the tail of the normal distribution.

    Args:
        recipe: how noise and length are chosen.
        book: (2^k, D) code words.
    """
    apart = np.linalg.norm(book[:, None] - book[None], axis=2)
    pairs = apart[~np.eye(len(book), dtype=bool)].reshape(len(book), -1)
    if not recipe.noise:
        return 0.0 if pairs.min() > 0 else 1.0
    deviations = pairs * math.sqrt(recipe.length) / (2 * recipe.noise)
    tails = [sum(math.erfc(d / math.sqrt(2)) / 2 for d in row) for row in deviations.tolist()]
    return min(1.0, float(np.mean(tails)))


def lost_at_most(error: float, k: int) -> float:
    """Bits of k fair ones that are unknown after a reading that is wrong with this probability, at most.

    Fano's inequality, H(s | reading) <= h(e) + e log2(2^k - 1); up to e = 1 - 2^-k it grows with e, so an upper bound
    of the error gives one of the loss. No mutual information of the card falls short by more than the sum of its
    modalities' losses.
    """
    if error >= 1 - 2.0**-k:
        return float(k)
    entropy = -sum(p * math.log2(p) for p in (error, 1 - error) if p > 0)
    return entropy + error * math.log2(2**k - 1)
