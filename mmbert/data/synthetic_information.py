"""Information of synthetic modalities about their label, by construction: redundant, unique and synergistic bits.

All latent bits are fair and independent. The label is made of three kinds of bits, and each counts as many bits of
information as there are of it:

    redundant     every modality sees the bit itself
    unique        one modality sees the bit, and no other sees anything of it
    synergistic   each of the M modalities sees one of M private bits, and the label has their parity (XOR):
                  M modalities determine it, M - 1 are independent of it

For two modalities A and B and a label Y this is the partial information decomposition of Williams & Beer 2010,
"Nonnegative Decomposition of Multivariate Information", arXiv:1004.2515:

    I(Y; A) = R + U_A          I(Y; B) = R + U_B          I(Y; A, B) = R + U_A + U_B + S

with the amounts of Bertschinger, Rauh, Olbrich, Jost & Ay 2014, "Quantifying Unique Information", arXiv:1311.2852:
U_A = min I_Q(Y; A | B) over all distributions Q that agree with the true one on (Y, A) and on (Y, B). Their measure
adds up over independent parts, of which each here is purely of one kind. The older measure I_min of Williams & Beer
does not: of two unique bits, one a modality, it calls one redundant and one synergistic. With more than two modalities
the lattice has many more terms; of these only "all alone", "one alone" and "all together" are used here.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmbert.core.errors import ConfigError, nearest

#: Settings by name: bits of each kind. Unique bits are per modality.
SETTINGS = {
    "redundancy": {"redundant": 1, "unique": 0, "synergistic": 0},
    "uniqueness": {"redundant": 0, "unique": 1, "synergistic": 0},
    "synergy": {"redundant": 0, "unique": 0, "synergistic": 1},
    "mixed": {"redundant": 1, "unique": 1, "synergistic": 1},
}
#: Names of modalities, in order.
NAMES = "abcdefgh"
#: 2^8 = 256 classes at most, or a table of ordinary size would not show each of them.
MOST_BITS = 8


@dataclass(frozen=True)
class Information:
    """A label of fair bits, and who sees what of it.

    Attributes:
        redundant: bits that every modality sees.
        unique: bits that a modality sees alone; each modality has so many.
        synergistic: bits that are the parity of one bit in each modality.
        modalities: M, 2 to 8.

    Raises:
        ConfigError: a number out of range, or a label of no bits or too many.
    """

    redundant: int
    unique: int
    synergistic: int
    modalities: int = 2

    def __post_init__(self) -> None:
        for name in ("redundant", "unique", "synergistic"):
            if getattr(self, name) < 0:
                raise ConfigError(f"data.bits.{name}={getattr(self, name)}: it must be 0 or more.")
        if not 2 <= self.modalities <= len(NAMES):
            raise ConfigError(f"data.modalities={self.modalities}: it must be from 2 to {len(NAMES)}.")
        if not 1 <= self.label_bits <= MOST_BITS:
            raise ConfigError(
                f"The label has {self.label_bits} bits (redundant {self.redundant}, unique {self.unique} in each of "
                f"{self.modalities} modalities, synergistic {self.synergistic}); it must have 1 to {MOST_BITS}: "
                "see data.setting and data.bits."
            )

    @classmethod
    def of(cls, setting: str, modalities: int = 2, **bits: int | None) -> Information:
        """A setting by its name, with other amounts where ``bits`` gives some.

        Raises:
            ConfigError: there is no such setting, or a number is out of range.
        """
        if setting not in SETTINGS:
            raise ConfigError(f"data.setting={setting}: there is none of this name. {nearest(setting, SETTINGS)}")
        given = {name: count for name, count in bits.items() if count is not None}
        return cls(**{**SETTINGS[setting], **given}, modalities=modalities)

    @property
    def names(self) -> list[str]:
        """The modalities: a, b, ..."""
        return list(NAMES[: self.modalities])

    @property
    def label_bits(self) -> int:
        """Entropy of the label in bits."""
        return self.redundant + self.unique * self.modalities + self.synergistic

    @property
    def seen_bits(self) -> int:
        """Bits that each modality sees."""
        return self.redundant + self.unique + self.synergistic

    @property
    def latent_bits(self) -> int:
        """Fair and independent bits from which a sample is made."""
        return self.redundant + (self.unique + self.synergistic) * self.modalities

    def parts(self, latent: np.ndarray) -> dict[str, np.ndarray]:
        """latent (N, latent_bits) of 0 and 1 -> its pieces.

        Returns:
            ``redundant`` (N, redundant), ``unique`` (N, M, unique), ``private`` (N, M, synergistic), whose parity over
            M is a synergistic bit.
        """
        rows, common = len(latent), self.redundant
        own = common + self.modalities * self.unique
        return {
            "redundant": latent[:, :common],
            "unique": latent[:, common:own].reshape(rows, self.modalities, self.unique),
            "private": latent[:, own:].reshape(rows, self.modalities, self.synergistic),
        }

    def seen(self, latent: np.ndarray) -> np.ndarray:
        """latent (N, latent_bits) -> (N, M, seen_bits): what each modality sees."""
        parts = self.parts(latent)
        shared = np.repeat(parts["redundant"][:, None], self.modalities, axis=1)
        return np.concatenate([shared, parts["unique"], parts["private"]], axis=2)

    def label(self, latent: np.ndarray) -> dict[str, np.ndarray]:
        """latent (N, latent_bits) -> the label's bits by their kind, (N, k) each; kinds without bits are left out.

        Keys: ``redundant``, ``unique_a``, ``unique_b``, ..., ``synergistic``.
        """
        parts = self.parts(latent)
        bits = {"redundant": parts["redundant"]}
        bits |= {f"unique_{name}": parts["unique"][:, m] for m, name in enumerate(self.names)}
        bits["synergistic"] = parts["private"].sum(1) % 2
        return {kind: values for kind, values in bits.items() if values.shape[1]}

    def states(self) -> np.ndarray:
        """(2^latent_bits, latent_bits): every state of the latent bits; all are equally likely."""
        return np.array(list(itertools.product((0, 1), repeat=self.latent_bits)), np.int64)

    def known_to(self, modalities: Collection[str]) -> int:
        """I(Y; these modalities together) in bits."""
        among = [name for name in self.names if name in modalities]
        shared = self.redundant if among else 0
        together = self.synergistic if len(among) == self.modalities else 0
        return shared + self.unique * len(among) + together

    def facts(self) -> dict[str, Any]:
        """The decomposition and the mutual informations, in bits, for a card."""
        subsets = [
            group for size in range(1, self.modalities + 1) for group in itertools.combinations(self.names, size)
        ]
        return {
            "label_entropy": self.label_bits,
            "redundant": self.redundant,
            "unique": dict.fromkeys(self.names, self.unique),
            "synergistic": self.synergistic,
            "mutual_information": {"+".join(group): self.known_to(group) for group in subsets},
        }
