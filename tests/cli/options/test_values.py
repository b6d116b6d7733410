"""One ``key=value`` against a config: its values, its kind, the nearest option, and how values are written."""

from types import SimpleNamespace

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from mmbert.cli.options import values
from mmbert.core.errors import ConfigError

GROUPS = SimpleNamespace(names=["fusion"])


def override(word):
    (parsed,) = OverridesParser.create().parse_overrides([word])
    return parsed


@pytest.fixture
def cfg():
    return OmegaConf.create(
        {
            "count": 1,
            "trainer": {"max_epochs": 3, "lr": 0.5, "quiet": True, "name": "x", "devices": [0, 1]},
            "path": "???",
            "copy": "${count}",
            "hydra": {"run": {"dir": "out"}},
        }
    )


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("count=3", [3]),
        ("count=1,2", [1, 2]),
        ("count=range(1,4)", [1, 2, 3]),
        ("lr=interval(0.1,2)", [0.1, 2]),
        ("name='a b',c", ["a b", "c"]),
        ("devices=[0,1]", [[0, 1]]),
    ],
)
def test_the_values_of_a_word(word, expected):
    assert values.override_values(override(word)) == expected
    assert values.first_value(override(word)) == expected[0]


@pytest.mark.parametrize(
    "word",
    ["count=2", "count=1,2", "trainer.lr=1", "trainer.quiet=false", "trainer.name=3", "trainer.devices=[2]", "path=x"]
    + ["copy=text", "count=null", "trainer={lr: 1}", "count='${trainer.max_epochs}'"],
)
def test_right_words_pass(cfg, word):
    values.check_value(cfg, override(word), GROUPS)


def test_a_column_may_be_two(cfg):
    cfg = OmegaConf.create({"data": {"columns": {"text": "text"}}})
    for word in ("data.columns.text=[question,context]", "data.columns.text=context", "data.columns.text=null"):
        values.check_value(cfg, override(word), GROUPS)
    with pytest.raises(ConfigError, match="a word, or a list of words"):
        values.check_value(cfg, override("data.columns.text={a: b}"), GROUPS)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("count=x", "count=x: a whole number is wanted here, such as the default 1."),
        ("count=1,true", "count=true: a whole number is wanted here, such as the default 1."),
        ("count=1.5", "count=1.5: a whole number is wanted here, such as the default 1."),
        ("trainer.lr=true", "trainer.lr=true: a number is wanted here, such as the default 0.5."),
        ("trainer.quiet=1", "trainer.quiet=1: true or false is wanted here, such as the default true."),
        ("trainer.name=[a]", "trainer.name=[a]: a text is wanted here, such as the default x."),
        ("trainer.devices=2", "trainer.devices=2: a list such as [a,b] is wanted here, such as the default [0,1]."),
        ("cont=1", "cont=1: there is no option 'cont'. Did you mean 'count'?"),
        ("trainer.max_epoch=1", "Did you mean 'trainer.max_epochs'?"),
        ("trianer.lr=1", "Did you mean 'trainer.lr'?"),
        ("max_epochs=1", "Did you mean 'trainer.max_epochs'?"),
        ("zzz=1", "There are: copy, count, fusion, path, trainer."),
        ("trainer.zzz=1", "trainer has: devices, lr, max_epochs, name, quiet. To add one of your own: +trainer.zzz=1"),
    ],
)
def test_wrong_words_are_answered(cfg, word, message):
    with pytest.raises(ConfigError) as caught:
        values.check_value(cfg, override(word), GROUPS)
    assert message in str(caught.value)


def test_an_override_is_applied_in_place_and_merges(cfg):
    values.apply_override(cfg, override("trainer={lr: 2.0}"))
    values.apply_override(cfg, override("count=7,8"))
    assert (cfg.trainer.lr, cfg.trainer.max_epochs, cfg.count) == (2.0, 3, 7)
    OmegaConf.set_readonly(cfg, True)
    with pytest.raises(ConfigError, match="count=9: "):
        values.apply_override(cfg, override("count=9"))


def test_the_paths_of_all_options(cfg):
    inner = [f"trainer.{name}" for name in ("max_epochs", "lr", "quiet", "name", "devices")]
    assert list(values.option_paths(values.without_hydra(cfg))) == ["count", "trainer", *inner, "path", "copy"]
    assert "hydra.run.dir" in list(values.option_paths(cfg))


def test_a_part_of_a_config(cfg):
    assert values.child_node(cfg, "count") == 1
    assert values.child_node(cfg.trainer.devices, "1") == 1
    assert [values.child_node(cfg, name) for name in ("path", "gone")] == [None, None]
    assert values.child_node(cfg.trainer.devices, "2") is None


def test_values_are_written_as_one_types_them():
    written = [values.as_typed(value) for value in (None, True, [1, [False, "a"]], OmegaConf.create([None]), 0.5)]
    assert written == ["null", "true", "[1,[false,a]]", "[null]", "0.5"]
    assert values.first_error_line(ValueError("  one\ntwo")) == "one"
    assert values.first_error_line(KeyboardInterrupt()) == "KeyboardInterrupt"
