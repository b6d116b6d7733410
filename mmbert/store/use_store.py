"""Fills the store with what a run needs and lets its data read it: frozen encoders run once for each input.

    usage = use_store(data, model, StoreOptions())        # computes what is missing; then the loaders read from disk

For a frozen encoder whose input is not augmented, tokens and vectors are stored; for an encoder that is trained, its
preprocessed inputs (scaled pictures, resampled sounds or log-mel frames, token ids). The key is a hash of the input's
content, in a folder named by the encoder's identity (identity.py): runs with any fusion, tasks or seed share entries,
and an encoder with other weights or options has others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.home import home
from mmbert.data.datamodule import MultimodalData
from mmbert.data.loading.cached import BFLOAT16
from mmbert.data.loading.dataset import SampleDataset
from mmbert.data.modalities.processor import Storable
from mmbert.data.modalities.registry import modality_of
from mmbert.data.tables.file_memo import FileMemo
from mmbert.encoders.base import Encoder
from mmbert.model import MultimodalModel
from mmbert.store.array_store import ABSENT, ArrayStore
from mmbert.store.content_keys import content_keys, file_key
from mmbert.store.description import record_use, write_about
from mmbert.store.fill import DiskBudget, LoaderOptions, ProgressCallback, Unstorable, fill_prepared, fill_tokens
from mmbert.store.identity import encoder_identity, identity_hash, prepared_identity
from mmbert.store.locks import fill_lock, locked_parts, part_count, part_numbers
from mmbert.store.packed import PackingProcessor
from mmbert.store.source import ArrayStoreSource

#: What the store keeps of an encoder: its tokens, or its prepared inputs.
StoredKind = Literal["tokens", "inputs"]
#: NumPy's names of the dtypes in which tokens can be stored.
DTYPES = {"float32": "float32", "float16": "float16", "bfloat16": BFLOAT16.name}
#: (description, number of entries) -> a context that shows a progress bar and gives its callback
ProgressBar = Callable[[str, int], AbstractContextManager[ProgressCallback]]


@dataclass(frozen=True)
class StoreOptions:
    """The config node ``store``.

    Attributes:
        enabled: whether to use the store at all.
        dir: its folder; None = ``features`` in $MMBERT_HOME or ~/.cache/mmbert.
        dtype: of tokens on disk: float32, float16 or bfloat16; half the size for three, or two, decimal digits.
        max_gib: its size at most, in GiB; beyond it nothing is added.

    Raises:
        ConfigError: ``dtype`` is unknown.
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
        """The store's folder."""
        return Path(self.dir).expanduser() if self.dir else home() / "features"


@dataclass
class StoreUsage:
    """What a run read from the store and added to it for one encoder.

    Attributes:
        what: ``tokens`` or ``inputs``; None = nothing is stored, for the ``reason``.
        name: of the array store.
        reused: distinct inputs that were found.
        computed: distinct inputs that were added.
        left_out: distinct inputs that are not stored: unreadable, or the disk budget is exhausted.
        seconds: time spent computing.
        reason: why nothing is stored, or some are left out.
    """

    what: StoredKind | None
    name: str = ""
    reused: int = 0
    computed: int = 0
    left_out: int = 0
    seconds: float = 0.0
    reason: str = ""


def use_store(
    data: MultimodalData,
    model: MultimodalModel,
    options: StoreOptions,
    device: str = "cpu",
    progress_bar: ProgressBar | None = None,
    notify: Callable[[str], None] = lambda line: None,
    record: bool = True,
    reads_tokens: bool | None = None,
) -> dict[str, StoreUsage]:
    """Adds what the store lacks of a run's samples, and sets the data's ``sources`` to read it.

    Args:
        data: bound to the model.
        model: on the CPU.
        options: of the store.
        device: where encoders run.
        progress_bar: makes a progress bar; None = no bar.
        notify: called with a line of text when this process has to wait for others.
        record: write this use into the record of uses, which one process of several does.
        reads_tokens: whether the data give token sequences; None = if the model reads them.

    Returns:
        What was found and computed, by encoder name; empty if the store is not enabled.
    """
    if not options.enabled:
        return {}
    progress_bar = progress_bar or (lambda what, count: nullcontext(lambda done: None))
    uses = {}
    for name, encoder in model.named_encoders().items():
        if name in data.drop:
            continue
        # tokens of an encoder with layer injection depend on the other modalities, so only its inputs are stored
        injected = name == model.fusion.injects_into
        fill = StoreFill(data, name, encoder, options, device, progress_bar, notify, injected)
        uses[name] = fill.run(model.reads_tokens if reads_tokens is None else reads_tokens)
        if record and uses[name].what is not None:
            content = {"data": str(data.path.resolve()), "encoder": name, **asdict(uses[name])}
            record_use(options.folder / str(uses[name].what) / uses[name].name, content)
    return uses


class StoreFill:
    """Fills the store for one encoder; arguments as of ``use_store``.

    Args:
        data: bound to the model.
        name: of the encoder.
        encoder: itself.
        options: of the store.
        device: where the encoder runs.
        progress_bar: makes a progress bar.
        notify: called with a line of text before waiting.
        injected: whether the fusion changes this encoder's hidden states.
    """

    def __init__(
        self,
        data: MultimodalData,
        name: str,
        encoder: Encoder,
        options: StoreOptions,
        device: str,
        progress_bar: ProgressBar,
        notify: Callable[[str], None],
        injected: bool = False,
    ) -> None:
        self.data, self.name, self.encoder, self.options = data, name, encoder, options
        self.device, self.progress_bar, self.notify = device, progress_bar, notify
        self.what: StoredKind = "tokens" if encoder.constant and not injected else "inputs"

    def run(self, reads_tokens: bool) -> StoreUsage:
        """Finds and computes the samples' entries, and sets the data's source."""
        processor = self.encoder.processor
        if not isinstance(processor, Storable):
            return StoreUsage(None, reason=f"{type(processor).__name__} has no settings() (see Storable)")
        splits = [rows for split, rows in self.data.rows.items() if not self.data.changes(split, self.name)]
        rows = np.unique(np.concatenate(splits)) if splits else np.zeros(0, np.int64)
        if not len(rows):
            return StoreUsage(None, reason="its inputs are changed at random")
        identity = encoder_identity(self.encoder) if self.what == "tokens" else prepared_identity(self.encoder)
        array_store = self.open_array_store(identity, processor)
        column = self.data.column_of(self.name)
        name = identity_hash({"of": str(self.data.path.resolve()), "in": column})
        memo = FileMemo(self.options.folder / "files" / f"{name}.npy", file_key)
        keys = content_keys(self.data.table, column, rows, modality_of(self.encoder), memo)
        memo.save()
        there = (keys != 0).any(1)
        distinct, first = np.unique(keys[there], axis=0, return_index=True)
        usage = StoreUsage(self.what, array_store.folder.name, reused=int((array_store.find(distinct) != ABSENT).sum()))
        if usage.reused < len(distinct):
            try:
                self.complete(array_store, distinct, rows[there][first], usage)
            except Unstorable as error:
                return StoreUsage(None, reason=str(error))
        self.bind(array_store, rows, keys, reads_tokens)
        return usage

    def open_array_store(self, identity: dict[str, Any], processor: Storable) -> ArrayStore:
        """The array store of this identity; a new one gets its folder and its description, ``about.json``."""
        if self.what == "tokens":
            kind = DTYPES[self.options.dtype]
            layout = (kind, kind, self.encoder.out_dim)
            identity = {**identity, "dtype": self.options.dtype}
        else:
            layout = processor.packed
        folder = self.options.folder / self.what / identity_hash(identity)
        write_about(folder, self.what, identity, layout)
        return ArrayStore(folder, *layout)

    def complete(self, array_store: ArrayStore, keys: np.ndarray, rows: np.ndarray, usage: StoreUsage) -> None:
        """Computes what is missing, part by part; other processes may fill other parts at the same time."""
        count = part_count(len(keys))
        parts, missing = part_numbers(keys, count), array_store.find(keys) == ABSENT
        began = time.monotonic()
        what = f"{self.name}: {'encoding' if self.what == 'tokens' else 'preparing'}"
        with fill_lock(array_store.folder), self.progress_bar(what, int(missing.sum())) as progress:
            for part in locked_parts(array_store.folder, np.unique(parts[missing]).tolist(), self.announce_waiting):
                array_store.refresh()
                lacking = (parts == part) & (array_store.find(keys) == ABSENT)
                progress(int((missing & (parts == part)).sum() - lacking.sum()))  # what others have done
                order = self.by_length(rows[lacking])
                usage.computed += self.compute(array_store, keys[lacking][order], rows[lacking][order], progress)
        usage.seconds = round(time.monotonic() - began, 2)
        array_store.refresh()
        usage.left_out = int((array_store.find(keys) == ABSENT).sum())
        usage.reused = len(keys) - usage.computed - usage.left_out
        usage.reason = (self.budget().exhausted() or "unreadable") if usage.left_out else ""

    def announce_waiting(self) -> None:
        """Notifies that all remaining parts are being filled by other processes."""
        self.notify(f"{self.name}: other processes fill the rest of this part of the store; waiting for them")

    def by_length(self, rows: np.ndarray) -> np.ndarray:
        """The order (n,) of rows by length, the longest first, so that batches have little padding."""
        column, folder = self.data.column_of(self.name), self.data.table.folder
        modality = modality_of(self.encoder)
        if modality.length_unit is None or self.data.table.is_media(column):  # not worth reading them all
            return np.arange(len(rows))
        cells = self.data.table.column(column, rows)
        return np.argsort([-modality.size(cell, folder) for cell in cells], kind="stable")

    def compute(self, array_store: ArrayStore, keys: np.ndarray, rows: np.ndarray, progress: ProgressCallback) -> int:
        """Encodes or prepares rows and writes them; returns how many were written."""
        if not len(rows):
            return 0
        data, processor = self.data, self.encoder.processor
        reader: Any = processor if self.what == "tokens" else PackingProcessor(processor)
        column = {self.name: data.column_of(self.name)}
        dataset = SampleDataset(data.table, rows, column, {self.name: reader}, {}, skip=data.skip)
        loader_options = LoaderOptions(data.eval_batch_size, data.num_workers, self.device)
        budget = self.budget()
        if budget.exhausted():
            return 0
        if self.what == "tokens":
            return fill_tokens(self.encoder, dataset, keys, array_store, loader_options, budget, progress)
        return fill_prepared(dataset, keys, array_store, loader_options, budget, progress)

    def budget(self) -> DiskBudget:
        """The disk budget of the options."""
        return DiskBudget(self.options.folder, self.options.max_gib)

    def bind(self, array_store: ArrayStore, rows: np.ndarray, keys: np.ndarray, reads_tokens: bool) -> None:
        """Sets the data's source of this encoder: the places of the rows in the array store."""
        places = np.full(len(self.data.table), ABSENT, np.int64)
        places[rows] = array_store.find(keys)
        processor: Any = self.encoder.processor
        if self.what == "tokens":
            self.data.sources[self.name] = ArrayStoreSource(array_store, places, None, reads_tokens)
        else:
            self.data.sources[self.name] = ArrayStoreSource(array_store, places, processor.unpack, True)
