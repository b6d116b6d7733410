"""Encode once: what a run's frozen encoders give, and what its preprocessing gives the others, is read from disk.

    plan = use_store(data, model, Options())        # computes what is missing; the loaders read the rest

Of a frozen encoder whose input is not augmented, tokens and vectors are kept; of an encoder that learns, what its
preprocessing gives (scaled pictures, resampled sounds or log-mel frames, word-piece numbers). Both are found by the
content of the input and by ``identity``, so that any run, with any fusion, tasks or seed, finds what any other has
left, and no run finds what an encoder with other weights or options has left.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.home import home
from mmbert.data.datamodule import MultimodalData
from mmbert.data.loading.cached import BFLOAT16
from mmbert.data.loading.dataset import SampleDataset
from mmbert.data.modalities.processor import Storable
from mmbert.encoders.base import Encoder
from mmbert.model import MultimodalModel
from mmbert.store.array_store import ABSENT, ArrayStore
from mmbert.store.content_keys import FileMemo, content_keys
from mmbert.store.fill import DiskBudget, LoaderOptions, Progress, Unstorable, fill_prepared, fill_tokens
from mmbert.store.identity import encoder_identity, name_of, prepared_identity
from mmbert.store.locks import filling, part_count, parts_of, taking
from mmbert.store.packed import Packed
from mmbert.store.source import Rows

#: What is kept of an encoder.
What = Literal["tokens", "inputs"]
#: NumPy's names of the numbers that tokens are kept in.
DTYPES = {"float32": "float32", "float16": "float16", "bfloat16": BFLOAT16.name}
ABOUT, USES = "about.json", "uses.jsonl"
#: (what is going on, number of entries) -> a progress bar
Shown = Callable[[str, int], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class Options:
    """The config node ``store``.

    Attributes:
        enabled: read and write at all.
        dir: where; None = ``features`` in the folder for what mmbert makes itself ($MMBERT_HOME or ~/.cache/mmbert).
        dtype: of tokens on disk: float32, float16 or bfloat16; half the size for three, or two, digits.
        max_gib: how much may be kept altogether; beyond it nothing is added.
    """

    enabled: bool = True
    dir: str | None = None
    dtype: str = "float32"
    max_gib: float = 50.0

    def __post_init__(self) -> None:
        """Refuses unknown types."""
        if self.dtype not in DTYPES:
            raise ConfigError(f"store.dtype={self.dtype} is unknown. {nearest(self.dtype, DTYPES)}")

    @property
    def folder(self) -> Path:
        """Where everything is kept."""
        return Path(self.dir).expanduser() if self.dir else home() / "features"


@dataclass
class StoreUsage:
    """What a run took from the store for one encoder.

    Attributes:
        what: ``tokens`` or ``inputs``; None = nothing, for the ``reason``.
        name: the shelf's.
        reused: different inputs that were there.
        computed: that were not.
        left_out: that were computed by no run: unreadable, or there is no room.
        seconds: for computing.
        reason: why nothing is stored, or some are left out.
    """

    what: What | None
    name: str = ""
    reused: int = 0
    computed: int = 0
    left_out: int = 0
    seconds: float = 0.0
    reason: str = ""


def use_store(
    data: MultimodalData,
    model: MultimodalModel,
    options: Options,
    device: str = "cpu",
    shown: Shown | None = None,
    told: Callable[[str], None] = lambda line: None,
    noted: bool = True,
) -> dict[str, StoreUsage]:
    """Computes what the store lacks of a run's samples, and lets the data read it.

    Args:
        data: connected to the model.
        model: on the CPU.
        options: where and how.
        device: where encoders compute.
        shown: makes a progress bar.
        told: is given a line when there is something to wait for.
        noted: keep a record of this use, which one process of several does.

    Returns:
        What was found and computed, by encoder name.
    """
    if not options.enabled:
        return {}
    shown = shown or (lambda what, count: nullcontext(lambda done: None))
    uses = {}
    for name, encoder in model.named_encoders().items():
        if name in data.drop:
            continue
        # tokens of an encoder that the fusion reaches into depend on the other modalities: its inputs alone are kept
        reached = name == model.fusion.injects_into
        filling = StoreFill(data, name, encoder, options, device, shown, told, reached)
        uses[name] = filling.run(model.reads_tokens)
        if noted and uses[name].what is not None:
            note(options.folder, str(data.path.resolve()), name, uses[name])
    return uses


class StoreFill:
    """One encoder's part of ``use_store``."""

    def __init__(
        self,
        data: MultimodalData,
        name: str,
        encoder: Encoder,
        options: Options,
        device: str,
        shown: Shown,
        told: Callable[[str], None],
        reached: bool = False,
    ) -> None:
        self.data, self.name, self.encoder, self.options = data, name, encoder, options
        self.device, self.shown, self.told = device, shown, told
        self.what: What = "tokens" if encoder.constant and not reached else "inputs"

    def run(self, reads_tokens: bool) -> StoreUsage:
        """Finds, computes, and gives the data its source."""
        processor = self.encoder.processor
        if not isinstance(processor, Storable):
            return StoreUsage(None, reason=f"{type(processor).__name__} does not say its settings")
        splits = [rows for split, rows in self.data.rows.items() if not self.data.changes(split, self.name)]
        rows = np.unique(np.concatenate(splits)) if splits else np.zeros(0, np.int64)
        if not len(rows):
            return StoreUsage(None, reason="its inputs are changed at random")
        identity = encoder_identity(self.encoder) if self.what == "tokens" else prepared_identity(self.encoder)
        array_store = self.open_shelf(identity, processor)
        column = self.data.column_of(self.name)
        memo = FileMemo(
            self.options.folder / "files" / f"{name_of({'of': str(self.data.path.resolve()), 'in': column})}.npy"
        )
        keys = content_keys(self.data.table, column, rows, self.encoder.kind, memo)
        memo.save()
        there = (keys != 0).any(1)
        distinct, first = np.unique(keys[there], axis=0, return_index=True)
        use = StoreUsage(self.what, array_store.folder.name, reused=int((array_store.find(distinct) != ABSENT).sum()))
        if use.reused < len(distinct):
            try:
                self.complete(array_store, distinct, rows[there][first], use)
            except Unstorable as error:
                return StoreUsage(None, reason=str(error))
        self.bind(array_store, rows, keys, reads_tokens)
        return use

    def open_shelf(self, identity: dict[str, Any], processor: Storable) -> ArrayStore:
        """The shelf of these numbers, and a file that says what they are."""
        if self.what == "tokens":
            kind = DTYPES[self.options.dtype]
            layout = (kind, kind, self.encoder.out_dim)
            identity = {**identity, "dtype": self.options.dtype}
        else:
            layout = processor.packed
        folder = self.options.folder / self.what / name_of(identity)
        about = folder / ABOUT
        if not about.exists():
            folder.mkdir(parents=True, exist_ok=True)
            content = {"what": self.what, "identity": identity, "layout": layout, "began": now()}
            temporary = about.with_name(f"{ABOUT}.{os.getpid()}")
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            temporary.replace(about)
        return ArrayStore(folder, *layout)

    def complete(self, array_store: ArrayStore, keys: np.ndarray, rows: np.ndarray, use: StoreUsage) -> None:
        """Computes what is missing, part by part; other processes do the parts that they are at."""
        count = part_count(len(keys))
        parts, missing = parts_of(keys, count), array_store.find(keys) == ABSENT
        began = time.monotonic()
        what = f"{self.name}: {'encoding' if self.what == 'tokens' else 'preparing'}"
        with filling(array_store.folder), self.shown(what, int(missing.sum())) as progress:
            for part in taking(array_store.folder, np.unique(parts[missing]).tolist(), self.waiting):
                array_store.refresh()
                lacking = (parts == part) & (array_store.find(keys) == ABSENT)
                progress(int((missing & (parts == part)).sum() - lacking.sum()))  # what others have done
                order = self.by_length(rows[lacking])
                use.computed += self.compute(array_store, keys[lacking][order], rows[lacking][order], progress)
        use.seconds = round(time.monotonic() - began, 2)
        array_store.refresh()
        use.left_out = int((array_store.find(keys) == ABSENT).sum())
        use.reused = len(keys) - use.computed - use.left_out
        use.reason = (self.room().lack() or "unreadable") if use.left_out else ""

    def waiting(self) -> None:
        """Told when all that is left is being computed by others."""
        self.told(f"{self.name}: other processes fill the rest of this part of the store; waiting for them")

    def by_length(self, rows: np.ndarray) -> np.ndarray:
        """The order in which samples of like length come together, the longest first; little is then padding."""
        column, folder = self.data.column_of(self.name), self.data.path.parent
        if self.data.table.is_media(column):  # not worth reading them all
            return np.arange(len(rows))
        cells = self.data.table.column(column, rows)
        return np.argsort([-length_of(cell, self.encoder.kind, folder) for cell in cells], kind="stable")

    def compute(self, array_store: ArrayStore, keys: np.ndarray, rows: np.ndarray, progress: Progress) -> int:
        """Encodes or prepares rows; returns how many could be."""
        if not len(rows):
            return 0
        data, processor = self.data, self.encoder.processor
        reader: Any = processor if self.what == "tokens" else Packed(processor)
        column = {self.name: data.column_of(self.name)}
        dataset = SampleDataset(data.table, rows, column, {self.name: reader}, {}, skip=data.skip)
        work = LoaderOptions(data.eval_batch_size, data.num_workers, self.device)
        room = self.room()
        if room.lack():
            return 0
        if self.what == "tokens":
            return fill_tokens(self.encoder, dataset, keys, array_store, work, room, progress)
        return fill_prepared(dataset, keys, array_store, work, room, progress)

    def room(self) -> DiskBudget:
        """What may be written."""
        return DiskBudget(self.options.folder, self.options.max_gib)

    def bind(self, array_store: ArrayStore, rows: np.ndarray, keys: np.ndarray, reads_tokens: bool) -> None:
        """Tells the data where the rows' numbers are."""
        places = np.full(len(self.data.table), ABSENT, np.int64)
        places[rows] = array_store.find(keys)
        processor: Any = self.encoder.processor
        if self.what == "tokens":
            self.data.sources[self.name] = Rows(array_store, places, None, reads_tokens)
        else:
            self.data.sources[self.name] = Rows(array_store, places, processor.unpack, True)


def note(folder: Path, data: str, encoder: str, use: StoreUsage) -> None:
    """Adds a line to a shelf's record of uses."""
    line = {"when": now(), "data": data, "encoder": encoder, **asdict(use)}
    with (folder / str(use.what) / use.name / USES).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def length_of(cell: Any, kind: str, folder: Path) -> int:
    """Something that grows with the length of a cell's content, cheaply."""
    if kind == "text":
        return len(str(cell))
    if kind != "audio":
        return 0
    try:
        return os.stat(os.path.join(folder, cell)).st_size
    except (OSError, TypeError):
        return 0


def now() -> str:
    """The time, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
