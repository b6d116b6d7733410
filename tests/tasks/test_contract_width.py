"""The task contract is as wide as it says: five kinds of task train together, from a table to a file of predictions.

Tags by word, letters over sound (CTC), retrieval without labels, a sentence that is generated, and classes; each label
may be missing, and so may a modality.
"""

import json

import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from mmbert.core.errors import ConfigError
from mmbert.core.types import UNLABELLED, Loss
from mmbert.data.datamodule import MultimodalData
from mmbert.data.labels import check_needs
from mmbert.encoders.features import FeatureEncoder
from mmbert.encoders.text import TextEncoder
from mmbert.fusion.concat import ConcatFusion
from mmbert.model import MultimodalModel
from mmbert.store.use_store import StoreOptions, use_store
from mmbert.tasks.base import Task
from mmbert.tasks.classification import Classification
from mmbert.training.balance.fixed import FixedBalance
from mmbert.training.module import FusionModule
from mmbert.training.monitor import choose_monitor

H = 8


class Tagging(Task):
    """A tag for each word of the text, learnt by its every token, read off its first."""

    kind = "tagging"
    reads_tokens = True
    aligned_to = ("text",)

    def __init__(self, in_dim, column, tags):
        super().__init__(in_dim, column)
        self.tags, self.head = tags, nn.Linear(in_dim, len(tags))

    def encode(self, cells, prepared, draw=None):
        tags, text = cells[self.column], prepared["text"]
        if tags is None or text is None:
            return None
        numbers = [self.tags.index(tag) for tag in tags]
        return torch.tensor([UNLABELLED if word < 0 else numbers[word] for word in text["word_ids"].tolist()])

    def collate(self, targets):
        nothing = torch.tensor([UNLABELLED])
        return {"tags": pad_sequence([nothing if t is None else t for t in targets], True, UNLABELLED)}

    def labelled(self, targets):
        return (targets["tags"] != UNLABELLED).any(1)

    def count(self, targets):
        return (targets["tags"] != UNLABELLED).sum()

    def decode(self, targets):
        rows = [[self.tags[i] for i in row if i != UNLABELLED] for row in targets["tags"].tolist()]
        return [row or None for row in rows]

    def forward(self, state, targets=None):
        return {"logits": self.head(state.fused.tokens["text"]), "mask": state.fused.masks["text"]}

    def loss(self, outputs, targets):
        tags = targets["tags"]
        # as long as the batch's longest text; targets are shorter where that is unlabelled
        tags = F.pad(tags, (0, outputs["logits"].shape[1] - tags.shape[1]), value=UNLABELLED)
        logits = outputs["logits"].flatten(0, 1)
        total = F.cross_entropy(logits, tags.flatten(), ignore_index=UNLABELLED, reduction="sum")
        return Loss(total, self.count(targets))

    def predict(self, state, outputs):
        best = outputs["logits"].argmax(-1)
        return [
            {"prediction": [self.tags[i] for i in row[mask].tolist()]}
            for row, mask in zip(best, outputs["mask"], strict=True)
        ]


class Transcription(Task):
    """Letters over the sound's tokens, by CTC."""

    kind = "transcription"
    reads_tokens = True

    def __init__(self, in_dim, column, letters):
        super().__init__(in_dim, column)
        self.letters, self.head = letters, nn.Linear(in_dim, len(letters) + 1)

    def encode(self, cells, prepared, draw=None):
        cell = cells[self.column]
        return None if cell is None else torch.tensor([self.letters.index(letter) + 1 for letter in cell])

    def collate(self, targets):
        ids = [torch.zeros(1).long() if t is None else t for t in targets]
        return {"ids": pad_sequence(ids, True), "length": torch.tensor([0 if t is None else len(t) for t in targets])}

    def labelled(self, targets):
        return targets["length"] > 0

    def decode(self, targets):
        rows = zip(targets["ids"].tolist(), targets["length"].tolist(), strict=True)
        return ["".join(self.letters[i - 1] for i in row[:length]) or None for row, length in rows]

    def forward(self, state, targets=None):
        return {"logits": self.head(state.fused.tokens["sound"]), "length": state.fused.masks["sound"].sum(1)}

    def loss(self, outputs, targets):
        logs = outputs["logits"].log_softmax(-1).transpose(0, 1)
        lengths = outputs["length"], targets["length"]
        each = F.ctc_loss(logs, targets["ids"], *lengths, reduction="none", zero_infinity=True)
        return Loss(torch.where(self.labelled(targets), each, 0.0).sum(), self.count(targets))

    def predict(self, state, outputs):
        rows = zip(outputs["logits"].argmax(-1), outputs["length"].tolist(), strict=True)
        paths = [torch.unique_consecutive(row[:length]).tolist() for row, length in rows]
        return [{"prediction": "".join(self.letters[i - 1] for i in path if i)} for path in paths]


class Retrieval(Task):
    """Texts and poses of one sample find each other; no label is needed."""

    kind = "retrieval"

    def __init__(self, in_dim, dims, pair=("text", "pose")):
        super().__init__(in_dim)
        self.pair = tuple(pair)
        self.project = nn.ModuleDict({name: nn.Linear(dims[name], in_dim) for name in pair})

    def forward(self, state, targets=None):
        parts = {name: state.encoded[name] for name in self.pair}
        paired = torch.stack([x.present for x in parts.values()], 1).all(1)
        return {name: F.normalize(self.project[name](x.pooled), dim=-1) for name, x in parts.items()} | {
            "paired": paired
        }

    def loss(self, outputs, targets):
        counted = outputs["paired"] & targets["counted"]
        first, second = (outputs[name][counted] for name in self.pair)
        similar, place = first @ second.T / 0.1, torch.arange(len(first))
        total = sum(F.cross_entropy(s, place, reduction="sum") for s in (similar, similar.T)) / 2
        return Loss(total, counted.sum())

    def predict(self, state, outputs):
        return [{"embedding": row} for row in outputs[self.pair[0]].tolist()]


class Captioning(Task):
    """A sentence, with teacher forcing in training and word by word afterwards."""

    kind = "generation"
    reads_tokens = True
    LONGEST = 4

    def __init__(self, in_dim, column, words):
        super().__init__(in_dim, column)
        self.words = ["<begin>", "<end>", *words]
        self.embed, self.out = nn.Embedding(len(self.words), in_dim), nn.Linear(in_dim, len(self.words))
        self.layer = nn.TransformerDecoderLayer(in_dim, 2, 16, dropout=0.0, batch_first=True)

    def encode(self, cells, prepared, draw=None):
        cell = cells[self.column]
        return None if cell is None else torch.tensor([0, *map(self.words.index, cell.split()), 1])

    def collate(self, targets):
        nothing = torch.full((2,), UNLABELLED)
        return {"ids": pad_sequence([nothing if t is None else t for t in targets], True, UNLABELLED)}

    def labelled(self, targets):
        return (targets["ids"] != UNLABELLED).any(1)

    def count(self, targets):
        return (targets["ids"][:, 1:] != UNLABELLED).sum()

    def decode(self, targets):
        return [" ".join(self.words[i] for i in row if i > 1) or None for row in targets["ids"].tolist()]

    def words_after(self, state, ids):
        memory = torch.cat(list(state.fused.tokens.values()), 1)
        hidden = ~torch.cat(list(state.fused.masks.values()), 1)
        future = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        return self.out(self.layer(self.embed(ids), memory, tgt_mask=future, memory_key_padding_mask=hidden))

    def forward(self, state, targets=None):
        return {} if targets is None else {"logits": self.words_after(state, targets["ids"][:, :-1].clamp(min=0))}

    def loss(self, outputs, targets):
        logits, words = outputs["logits"].flatten(0, 1), targets["ids"][:, 1:].flatten()
        return Loss(F.cross_entropy(logits, words, ignore_index=UNLABELLED, reduction="sum"), self.count(targets))

    def predict(self, state, outputs):
        ids = torch.zeros(len(state.fused.pooled), 1, dtype=torch.int64)
        for _ in range(self.LONGEST):
            ids = torch.cat([ids, self.words_after(state, ids)[:, -1].argmax(-1, keepdim=True)], 1)
        ended = [[*row, 1] for row in ids[:, 1:].tolist()]
        return [{"prediction": " ".join(self.words[i] for i in row[: row.index(1)])} for row in ended]


class MaskedWords(Task):
    """Some tokens are hidden from the model, which says what they were."""

    changes_inputs = ("text",)
    reads_tokens = True

    def __init__(self, in_dim, dims, size, mask_id):
        super().__init__(in_dim)
        self.mask_id, self.head = mask_id, nn.Linear(in_dim, size)

    def change_inputs(self, inputs, draws, targets):
        text = inputs["text"]
        ids, share = text["input_ids"], [torch.Generator().manual_seed(draw % 2**62) for draw in draws]
        chosen = torch.stack([torch.rand(ids.shape[1], generator=g) < 0.4 for g in share]) & text["mask"]
        masked = {**text, "input_ids": ids.masked_fill(chosen, self.mask_id)}
        return {"text": masked}, {"words": ids.masked_fill(~chosen, UNLABELLED)}

    def count(self, targets):
        return (targets["words"] != UNLABELLED).sum() if "words" in targets else targets["counted"].sum() * 0

    def forward(self, state, targets=None):
        return {"logits": self.head(state.fused.tokens["text"])}

    def loss(self, outputs, targets):
        if "words" not in targets:  # an evaluated split, which other tasks measure as it is
            return Loss(outputs["logits"].sum() * 0, self.count(targets))
        logits, words = outputs["logits"].flatten(0, 1), targets["words"].flatten()
        return Loss(F.cross_entropy(logits, words, ignore_index=UNLABELLED, reduction="sum"), self.count(targets))

    def predict(self, state, outputs):
        return [{"prediction": None}] * len(outputs["logits"])


TEXTS = ["ann eats", "the dog saw ann", None, "ann", "dogs  eat the long bone", "a"]
TAGS = [["P", "O"], ["O", "O", "O", "P"], ["P"], None, ["O"] * 5, None]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Six samples for each split; every label is missing somewhere, every modality too."""
    generator = torch.Generator().manual_seed(0)
    lines = []
    for split in ("train", "val", "test"):
        for i, text in enumerate(TEXTS):
            lines.append(
                {
                    "text": text,
                    "pose": None if i == 1 else torch.randn(3, 5, generator=generator).tolist(),
                    "sound": None if i == 4 else torch.randn(6 + i, 4, generator=generator).tolist(),
                    "tags": TAGS[i],
                    "said": [None, "ab", "b", "ba", "a", None][i],
                    "caption": ["a dog", None, "a cat", None, "dog", "cat"][i],
                    "label": ["x", "y", None, "x", "y", "x"][i],
                    "split": split,
                }
            )
    path = tmp_path_factory.mktemp("width") / "table.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def model_of(**more):
    torch.manual_seed(0)
    encoders = {
        "text": TextEncoder("tiny", frozen=True, max_tokens=16),
        "pose": FeatureEncoder(5),
        "sound": FeatureEncoder(4),
    }
    dims = {name: encoder.out_dim for name, encoder in encoders.items()}
    tasks = {
        "tags": Tagging(H, "tags", ["O", "P"]),
        "said": Transcription(H, "said", "ab"),
        "pairs": Retrieval(H, dims),
        "caption": Captioning(H, "caption", ["a", "cat", "dog"]),
        "label": Classification(H, "label", ["x", "y"], dropout=0.0),
    }
    return MultimodalModel(
        encoders, ConcatFusion(dims, H), {**tasks, **{name: make(dims) for name, make in more.items()}}
    )


def data_of(table, model, **options):
    data = MultimodalData(table, **{"batch_size": 3, "num_workers": 0, **options})
    processors = {name: encoder.processor for name, encoder in model.named_encoders().items()}
    data.bind(processors, {name: task.without_weights() for name, task in model.named_tasks().items()})
    return data


def trained(model, data, epochs=1, **options):
    def adam(model, balance, steps):
        return torch.optim.Adam(model.parameters(), lr=0.01)

    module = FusionModule(model, FixedBalance(model.named_tasks()), adam)
    given = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = pl.Trainer(max_epochs=epochs, enable_model_summary=False, num_sanity_val_steps=0, **given, **options)
    trainer.fit(module, data.train_dataloader(), data.val_dataloader())
    return module, trainer


def test_five_kinds_of_task_train_together_and_leave_their_predictions(table, tmp_path):
    model = model_of()
    data = data_of(table, model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    module, trainer = trained(model, data, epochs=12, accumulate_grad_batches=2)
    learnt = [name for name, p in model.named_parameters() if p.requires_grad]
    assert [name for name in learnt if torch.equal(before[name], model.get_parameter(name))] == []
    losses = {name: float(value) for name, value in trainer.callback_metrics.items() if name.endswith("/loss")}
    assert {f"{split}/{task}/loss" for split in ("train", "val") for task in model.tasks} <= set(losses)
    # the same table under another split's name: what was learnt there holds here, but for the poses and sounds
    assert losses["val/tags/loss"] < 0.6 and losses["train/caption/loss"] < 1.2
    predictions = module.begin_test("test")
    trainer.test(module, dataloaders=data.loader("test"), verbose=False)
    predictions.write(tmp_path / "test.parquet")
    read = pd.read_parquet(tmp_path / "test.parquet")
    assert read["row"].tolist() == list(range(12, 18))
    lengths = [len(json.loads(cell)) for cell in read["tags/prediction"]]
    assert lengths == [min(16, len(text) + 2) if text else 0 for text in TEXTS]  # bytes, [CLS] and [SEP]
    assert json.loads(read["tags/target"][0]) == ["P"] * 3 + ["O"] * 5  # the blank goes with the next word
    assert read["said/target"].isna().tolist() == [True, False, False, False, False, True]
    assert [set(cell) <= set("ab") for cell in read["said/prediction"]] == [True] * 6
    assert {word for cell in read["caption/prediction"] for word in cell.split()} <= {"a", "cat", "dog", "<begin>"}
    assert len(json.loads(read["pairs/prediction"][0])["embedding"]) == H
    assert read["label/prediction"].isin(["x", "y"]).all()


def test_a_saved_model_of_all_kinds_answers_as_before(table, tmp_path):
    model = model_of().eval()
    samples = [{"text": "ann saw a dog", "pose": [[0.1] * 5] * 2}, {"sound": [[0.5] * 4] * 6}]
    answers = model.predict(samples)
    loaded = MultimodalModel.from_pretrained(model.save_pretrained(tmp_path / "model"), trust_custom_code=True)
    assert loaded.predict(samples) == answers
    assert set(answers[0]) == {"tags", "said", "pairs", "caption", "label"}
    assert len(answers[0]["tags"]["prediction"]) == len("ann saw a dog") + 2 and answers[1]["tags"]["prediction"] == []


def test_missing_labels_and_copies_that_fill_up_a_batch_change_no_loss(table):
    model = model_of().eval()
    data = data_of(table, model)
    dataset, collate = data.dataset("train"), data.train_dataloader().collate_fn.collate
    real = collate([dataset[i] for i in range(6)])
    filled = collate([*(dataset[i] for i in range(6)), dataset[-1], dataset[-4]])
    one, other = (model(batch.inputs, targets=batch.targets) for batch in (real, filled))
    for name, task in model.named_tasks().items():
        losses = [task.loss(x.outputs[name], batch.targets[name]) for x, batch in ((one, real), (other, filled))]
        torch.testing.assert_close(losses[0].total, losses[1].total)
        assert losses[0].count == losses[1].count
    assert model.tasks["tags"].loss(one.outputs["tags"], real.targets["tags"]).count == 8 + 14 + 14  # two texts are cut


def test_alignments_are_as_long_as_the_encoders_tokens_stored_or_not(table, tmp_path):
    model = model_of()
    data = data_of(table, model)
    fresh = [data.dataset("train")[i].targets["tags"] for i in range(6)]
    uses = use_store(data, model, StoreOptions(dir=str(tmp_path / "store")))
    assert uses["text"].what == "tokens"
    dataset = data.dataset("train")
    for i, text in enumerate(TEXTS):
        sample, encoder = dataset[i], model.named_encoders()["text"]
        if text is None:
            assert sample.prepared["text"] is None and sample.targets["tags"] is None
            continue
        aligned = encoder.processor.alignment(text)
        count = int(encoder(encoder.processor.collate([encoder.processor.prepare(text)])).mask.sum())
        stored = sample.prepared["text"]
        assert len(stored.tokens) == count == len(aligned["word_ids"]) == len(aligned["offsets"])
        assert count <= 16 and (len(text) < 14 or count == 16)  # long texts are cut
        tags = sample.targets["tags"]
        assert tags is None if TAGS[i] is None else torch.equal(tags, fresh[i]) and len(tags) == count


def test_a_task_that_changes_inputs_changes_those_of_train_alone_beside_others(table, tmp_path):
    def masked(dims):
        return MaskedWords(H, dims, size=300, mask_id=4)

    model = model_of(masked=masked)
    data = data_of(table, model)
    assert data.changes("train", "text") and not data.changes("val", "text") and not data.changes("train", "pose")
    uses = use_store(data, model, StoreOptions(dir=str(tmp_path / "store")))
    assert uses["text"].what == "tokens"  # of val and test
    batch = next(iter(data.train_dataloader()))
    words = batch.targets["masked"]["words"]
    assert "input_ids" in batch.inputs["text"] and (batch.inputs["text"]["input_ids"][words >= 0] == 4).all()
    assert (words >= 0).any()
    assert "stored.pooled" in next(iter(data.val_dataloader())).inputs["text"]
    module, trainer = trained(model, data)
    assert "train/masked/loss" in trainer.callback_metrics and "val/masked/loss" not in trainer.callback_metrics
    assert "val/loss" in trainer.callback_metrics


def test_alone_it_changes_evaluated_splits_too_and_each_time_alike(table):
    torch.manual_seed(0)
    encoders = {"text": TextEncoder("tiny", max_tokens=16)}
    dims = {"text": encoders["text"].out_dim}
    model = MultimodalModel(encoders, ConcatFusion(dims, H), {"masked": MaskedWords(H, dims, 300, 4)})
    data = data_of(table, model, on_error="skip")
    assert data.changes("val", "text")
    first, second = (next(iter(data.val_dataloader())).targets["masked"]["words"] for _ in range(2))
    assert torch.equal(first, second) and (first >= 0).any()


def test_what_a_task_needs_and_no_encoder_gives_is_refused(table):
    model = model_of()
    data = MultimodalData(table, num_workers=0)
    processors = {name: encoder.processor for name, encoder in model.named_encoders().items()}
    task = Tagging(H, "tags", ["O", "P"])
    task.aligned_to = ("pose",)
    with pytest.raises(ConfigError, match="tasks.tags needs to know which token of 'pose' is which word"):
        data.bind(processors, {"tags": task})
    task.aligned_to = ("txet",)
    with pytest.raises(ConfigError, match="tasks.tags reads 'txet', no encoder. Did you mean 'text'"):
        data.bind(processors, {"tags": task})


class Costly(Classification):
    """Its accuracy is worth computing once, at the end."""

    measured_each_epoch = False

    def update(self, metrics, outputs, targets):
        if self.loss_only:
            targets = {"label": torch.full_like(targets["label"], UNLABELLED)}
        super().update(metrics, outputs, targets)
        type(self).seen += not self.loss_only

    def metric_notes(self, metrics):
        return {"accuracy": f"of {self.seen} batches"}


@pytest.mark.parametrize("monitored", [False, True])
def test_costly_metrics_are_taken_at_the_end_or_where_one_is_monitored(table, monitored):
    Costly.seen = 0
    model = model_of(costly=lambda dims: Costly(H, "label", ["x", "y"]))
    data = data_of(table, model)
    module = FusionModule(model, FixedBalance(model.named_tasks()), lambda *_: torch.optim.SGD(model.parameters()))
    module.monitored = ("val/loss", "val/costly/accuracy" if monitored else "val/costly/loss")
    given = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = pl.Trainer(max_epochs=2, enable_model_summary=False, num_sanity_val_steps=0, **given)
    trainer.fit(module, data.train_dataloader(), data.val_dataloader())
    assert Costly.seen == (4 if monitored else 0)  # two batches, twice
    assert ("val/costly/accuracy" in trainer.callback_metrics) == monitored
    assert "val/costly/loss" in trainer.callback_metrics and "val/label/accuracy" in trainer.callback_metrics
    Costly.seen = 0
    module.begin_test("test")
    trainer.test(module, dataloaders=data.loader("test"), verbose=False)
    assert "test/costly/accuracy" in module.numbers and module.notes["test/costly/accuracy"] == "of 2 batches"


def test_two_tasks_that_change_the_same_modality_are_refused():
    tasks = {name: MaskedWords(H, {}, 300, 4) for name in ("one", "other")}
    with pytest.raises(ConfigError, match="tasks.one and tasks.other both change what 'text' reads"):
        check_needs({"text": TextEncoder("tiny").processor}, tasks)


def test_a_task_that_changes_inputs_is_measured_only_where_they_are_changed(table):
    model = model_of(masked=lambda dims: MaskedWords(H, dims, 300, 4))
    data, masked = data_of(table, model), model.tasks["masked"]
    assert data.has_labels("train", masked) and not data.has_labels("val", masked)
    monitor = choose_monitor(None, {"masked": masked, "label": model.tasks["label"]}, ["masked"])
    assert monitor.name == "val/label/accuracy"


def test_a_task_is_connected_to_the_encoders_and_its_copy_for_workers_is_not(table, tmp_path):
    model = model_of()
    for task in model.named_tasks().values():
        assert task.connected == model.named_encoders()
        assert task.without_weights().connected == {}
    names = [name for name, _ in model.tasks.named_parameters()]
    assert not any("encoders" in name or "connected" in name for name in names)
