"""Options of the demo set talking_digits, checked before anything is built."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mmbert.core.errors import ConfigError
from mmbert.data.digits.pictures import PictureDifficulty
from mmbert.data.digits.speech import SoundDifficulty

TALKING_DIGITS_VERSION = 1


@dataclass(frozen=True)
class TalkingDigitsOptions:
    """Everything that the demo set depends on.

    Attributes:
        seed: of all draws.
        train: rows of the train split.
        val: rows of the validation split.
        test: rows of the test split.
        test_missing: rows of the split whose rows lack one or two modalities.
        train_voices: voices of train and val, heard in the test splits too.
        test_voices: further voices, of the test splits alone.
        repeat_share: of sentences that say one of the numbers in words.
        unseen_share: of test sentences in wordings, and of test sounds in voices, that occur in no other split.
        picture: how images are degraded.
        sound: how sounds are degraded.

    Raises:
        ConfigError: a value outside its range, by its name in the config.
    """

    seed: int = 0
    train: int = 6000
    val: int = 1000
    test: int = 1000
    test_missing: int = 1000
    train_voices: int = 50
    test_voices: int = 20
    repeat_share: float = 0.2
    unseen_share: float = 0.25
    picture: PictureDifficulty = field(default_factory=PictureDifficulty)
    sound: SoundDifficulty = field(default_factory=SoundDifficulty)

    def __post_init__(self) -> None:
        within("data.build_seed", self.seed, 0)
        for split, rows in self.sizes.items():
            within(f"data.sizes.{split}", rows, 1)
        for name in ("train_voices", "test_voices"):
            within(name, getattr(self, name), 1)
        picture, sound = self.picture, self.sound
        shares = {"repeat_share": self.repeat_share, "unseen_share": self.unseen_share}
        shares |= {f"picture.{name}": getattr(picture, name) for name in ("occlusion", "contrast")}
        for name, share in (shares | {"sound.reverberation": sound.reverberation}).items():
            within(f"data.{name}", share, 0, 1)
        for name in ("noise", "blur", "rotation"):
            within(f"data.picture.{name}", getattr(picture, name), 0)
        if sound.snr_low_db > sound.snr_high_db:
            raise ConfigError(
                f"data.sound.snr_low_db={sound.snr_low_db} lies above data.sound.snr_high_db={sound.snr_high_db}: "
                "the ratio of speech to noise is drawn between the two."
            )

    @property
    def sizes(self) -> dict[str, int]:
        """Rows by split."""
        return {"train": self.train, "val": self.val, "test": self.test, "test_missing": self.test_missing}

    def fingerprint(self) -> str:
        """Ten hexadecimal digits that change with any option and with the recipe, which is this folder's code."""
        digest = hashlib.sha256(
            json.dumps({"version": TALKING_DIGITS_VERSION, **asdict(self)}, sort_keys=True).encode()
        )
        for source in sorted(Path(__file__).parent.glob("*.py")):
            digest.update(source.read_bytes())
        return digest.hexdigest()[:10]


def within(name: str, value: float, low: float, high: float | None = None) -> None:
    """Refuses a value below ``low`` or above ``high``."""
    if not (value >= low and (high is None or value <= high)):  # so that NaN is refused too
        bounds = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ConfigError(f"{name}={value}: it must be {bounds}.")
