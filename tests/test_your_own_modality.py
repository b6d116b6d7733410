"""A kind of input of one's own, from a folder beside the package: checked, trained on, made noisy and shown.

Nothing in mmbert knows the kind ``sensor``: it is one Modality, one processor, one encoder and one YAML.
"""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mmbert.core.errors import ConfigError
from mmbert.core.types import InputFile
from mmbert.data.augment.augmentation import Augmentation
from mmbert.data.augment.base import InputAugmentation
from mmbert.data.modalities.base import Modality
from mmbert.data.modalities.registry import all_kinds, modality_named, modality_of

SENSOR = '''
"""Sensor readings: a cell holds numbers with spaces between them."""

import numpy as np
import torch
from torch import nn

from mmbert.core.errors import DataError
from mmbert.core.types import Encoded
from mmbert.data.modalities.base import CellFacts, Modality, content_digest
from mmbert.encoders.base import Encoder


class Sensor(Modality):
    kind = "sensor"
    noun = "reading"
    names_files = False
    shown_as = "text"
    length_unit = "readings"

    def read(self, cell, folder, max_seconds=None):
        try:
            return np.array([float(part) for part in str(cell).split()], np.float32)
        except ValueError as error:
            raise DataError(f"it is no row of numbers ({error})") from error

    def length(self, cell, folder):
        return len(str(cell).split())

    def inspect(self, cell, folder, options):
        values = self.read(cell, folder)
        facts = {"readings": len(values), "highest": float(values.max())}
        return CellFacts(digest=content_digest(values.tobytes()), quantities=facts)


class SensorProcessor:
    modality = Sensor()

    def prepare(self, raw):
        return torch.from_numpy(raw)

    def collate(self, prepared):
        longest = max([1, *(len(part) for part in prepared if part is not None)])
        values, mask = torch.zeros(len(prepared), longest), torch.zeros(len(prepared), longest, dtype=torch.bool)
        for row, part in enumerate(prepared):
            if part is not None:
                values[row, : len(part)], mask[row, : len(part)] = part, True
        return {"values": values, "mask": mask}


class SensorEncoder(Encoder):
    modality = SensorProcessor.modality

    def __init__(self, out_dim=4, frozen=False, lr_scale=1.0):
        super().__init__(frozen, lr_scale)
        self.network = nn.Linear(1, out_dim)
        self.out_dim, self.processor = out_dim, SensorProcessor()
        self.freeze()

    def encode(self, inputs):
        return Encoded.from_tokens(self.network(inputs["values"].unsqueeze(-1)), inputs["mask"])
'''
YAML = """\
# @package encoders.sensor
# Sensor readings.
_target_: my_sensor.SensorEncoder
out_dim: 4
frozen: false
lr_scale: 1.0
"""


@pytest.fixture
def folder(tmp_path):
    """A user's folder: the class, its YAML, and a table whose readings grow for the class ``high``."""
    (tmp_path / "my_sensor.py").write_text(SENSOR)
    (tmp_path / "conf" / "sensor").mkdir(parents=True)
    (tmp_path / "conf" / "sensor" / "plain.yaml").write_text(YAML)
    random = np.random.default_rng(0)
    lines = ["sensor,split,label"]
    for row in range(40):
        split = "train" if row < 24 else "val" if row < 32 else "test"
        values = random.standard_normal(2 + row % 3) + 9 * (row % 2)
        cell = " ".join(f"{value:.3f}" for value in values)
        lines.append(f"{'7 7' if row == 39 else cell if row else ''},{split},{('low', 'high')[row % 2]}")
    lines[1] = "1 2,train,low"
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


WORDS = ["data=manifest", "data.path=table.csv", "text=none", "image=none", "audio=none", "+sensor=plain"]


@pytest.fixture
def standing_in(folder, monkeypatch):
    """As a command started in the folder finds it: its classes can be imported, and its YAML is in ``conf/sensor/``."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    yield folder
    sys.modules.pop("my_sensor", None)


def test_it_is_trained_on_made_noisy_and_shown(standing_in):
    from hydra import compose, initialize_config_module

    from mmbert.reporting.outputs.page.build import sample_card
    from mmbert.reporting.statistics.hardest import hardest
    from mmbert.training.run import run

    words = [*WORDS, "trainer=cpu", "trainer.max_epochs=1", "data.num_workers=0", "data.batch_size=8", "plots=false"]
    words += ["data.bucket_by_length=true", "robustness.noise.levels=[0.5,1.0]", "fusion=mean", "logger=csv"]
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        cfg = compose("train", overrides=[*words, f"hydra.searchpath=[file://{standing_in / 'conf'}]"])
    folder = standing_in / "run"
    folder.mkdir()
    run(cfg, folder)
    inputs = json.loads((folder / "metrics.json").read_text())["inputs"]
    assert inputs["encoders"] == {"sensor": {"column": "sensor", "kind": "sensor", "shown_as": "text"}}
    noise = json.loads((folder / "robustness.json").read_text())["splits"]["test"]["noise"]
    assert [(one["modalities"], one["level"]) for one in noise] == [(["sensor"], 0.5), (["sensor"], 1.0)]
    assert "padding/sensor" in (folder / "history.csv").read_text().splitlines()[0]
    sample = next(one for one in hardest({"mean": [folder]}, "test", "label", 8) if one.row == 40)
    assert sample.parts == [("sensor", "text", "7 7")] and "<p>7 7</p>" in sample_card(sample)


def test_its_table_is_checked(standing_in, monkeypatch, capsys):
    from mmbert.cli import check_data

    table = standing_in / "table.csv"
    table.write_text(table.read_text().replace("1 2,train", "one two,train"))
    monkeypatch.setattr("sys.argv", ["mmbert-check-data", *WORDS, "--json", "found.json", "--html", "page.html"])
    with pytest.raises(SystemExit) as end:
        check_data.main()
    assert end.value.code == 1 and "it is no row of numbers" in capsys.readouterr().out
    facts = json.loads((standing_in / "found.json").read_text())["splits"]["val"]["spreads"]["sensor"]
    assert (facts["readings"]["least"], facts["readings"]["most"]) == (2, 4)
    assert "7 7" in (standing_in / "page.html").read_text()


def test_which_kind_an_encoder_reads():
    assert all_kinds() == ["audio", "features", "image", "series", "tabular", "text", "video"]
    assert [modality_named(kind).kind for kind in all_kinds()] == all_kinds()

    class Own(Modality):
        kind = "own"

    own = Own()
    assert modality_of(SimpleNamespace(kind="text", modality=own)) is own
    assert modality_of(type("Encoder", (), {"kind": "image"})).kind == "image"
    with pytest.raises(ConfigError, match="no kind of input 'imagee'. Did you mean 'image'"):
        modality_of(SimpleNamespace(kind="imagee"))
    with pytest.raises(ConfigError, match="no kind of input 'registry'"):  # a file of the folder, but not of a kind
        modality_named("registry")
    with pytest.raises(ConfigError, match="Own.modality must be an object of a subclass of Modality"):
        modality_of(type("Own", (), {"modality": Own}))
    with pytest.raises(ConfigError, match="Nothing does not say what it reads"):
        modality_of(type("Nothing", (), {}))


def test_a_kind_of_ones_own_can_be_augmented():
    class Scale(InputAugmentation):
        def __init__(self, most=1.0):
            self.most = most

        @property
        def active(self):
            return self.most != 1

        def prepare(self, raw, processor, random):
            return processor.prepare(raw * random.uniform(1, self.most))

    class Own(Modality):
        kind = "own"
        augmentation = Scale

    class Plain:
        modality = Own()

        def prepare(self, raw):
            return raw

    augment = Augmentation(own={"most": 3.0})
    augment.check({"hand": Plain()})
    assert augment.active and augment.changes(Plain())
    values = [augment.prepare(2.0, Plain(), draw) for draw in range(20)]
    assert min(values) > 2 and max(values) < 6 and len(set(values)) == 20
    assert values == [augment.prepare(2.0, Plain(), draw) for draw in range(20)]
    with pytest.raises(ConfigError, match=r"augment.own=\{'least': 1\} cannot be used: .*least"):
        Augmentation(own={"least": 1}).check({"hand": Plain()})
    with pytest.raises(ConfigError, match="augment.own: no encoder reads this kind of input"):
        augment.check({})


def test_what_trackers_are_given_is_a_path_to_those_that_show_no_files():
    assert str(InputFile("a.bin", "none")) == "a.bin"
