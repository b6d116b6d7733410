"""Every option that has a bounded meaning has a range, beside its argument or in the table of foreign ones."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from mmbert.cli.options import foreign, schema
from mmbert.core.errors import ConfigError
from mmbert.core.ranges import OptionsOf, Rule

CONF = Path(__file__).parents[3] / "conf"
DROPOUT = "a number of at least 0 and below 1"
SWITCH = "true or false"
COUNT, WHOLE = "a whole number of at least 1", "a whole number of at least 0"
POSITIVE, NOT_NEGATIVE = "a number above 0", "a number of at least 0"
CHANCE = "a chance (0.2), or one for each encoder ({text: 0.3, audio: 0.1}),"
NAMES = "a list of values, each a name,"
MECHANISMS = "one of random, label, value, exclusive"

#: What is wanted of an option, written down a second time: by the beginning of the class's path and the option's name.
#: Where several beginnings fit, the last one holds.
BESIDE_ARGUMENTS: dict[str, dict[str, str]] = {
    "mmbert.": {
        **dict.fromkeys(("normalize", "frozen", "pretrained"), SWITCH),
        **dict.fromkeys(("out_dim", "num_layers", "num_heads"), COUNT),
        **dict.fromkeys(("lr_scale", "weight"), NOT_NEGATIVE),
        "dropout": DROPOUT,
        "hidden_dim": WHOLE,
    },
    "mmbert.data.": {
        **dict.fromkeys(("bucket_by_length", "pin_memory", "check_files"), SWITCH),
        **dict.fromkeys(("per_class", "batch_size", "eval_batch_size"), COUNT),
        **dict.fromkeys(("fold", "num_workers"), WHOLE),
        "folds": "a whole number of at least 2",
        "per_class_rare": "one of raise, keep",
        "on_error": "one of raise, skip",
    },
    "mmbert.data.synthetic.": {
        "setting": "one of redundancy, uniqueness, synergy, mixed",
        "embedding": "one of linear, nonlinear",
        "modalities": "a whole number of at least 2 and at most 8",
        **dict.fromkeys(("dim", "length"), COUNT),
        "noise": NOT_NEGATIVE,
    },
    "mmbert.encoders.": {
        "pooling": "one of mean, cls, pooler",
        **dict.fromkeys(("max_tokens", "trainable_last_n", "num_mels", "sample_rate_hz"), COUNT),
        **dict.fromkeys(("layer_decay", "max_seconds", "hop_seconds"), POSITIVE),
        "gradient_checkpointing": SWITCH,
        "image_size": f"{COUNT} or a list of 2 values, each {COUNT},",
        "channels": f"a list of values, each {COUNT},",
    },
    "mmbert.encoders.series.": {
        "channels": "a list of values, each a text,",
        "time_unit": "one of s, ms, us, ns",
        **dict.fromkeys(("rate", "max_gap", "rows_per_second", "step_seconds"), POSITIVE),
        **dict.fromkeys(("max_steps", "patch_length", "stride"), COUNT),
    },
    "mmbert.fusion.": {
        **dict.fromkeys(("hidden_dim", "chunks", "rank", "joint_dim", "factors", "attention_dim"), COUNT),
        **dict.fromkeys(("experts_per_modality", "ffn_ratio", "num_bottlenecks", "num_latents", "num_blocks"), COUNT),
        **dict.fromkeys(("sketch_dim", "top_k"), "a whole number of at least 2"),
        **dict.fromkeys(("sketch_seed", "layers_per_block", "memory_layers", "fusion_layer"), WHOLE),
        **dict.fromkeys(("product_dropout", "attention_dropout"), DROPOUT),
        **dict.fromkeys(("importance_weight", "load_weight", "kl_weight"), NOT_NEGATIVE),
        **dict.fromkeys(("share_weights", "positions"), SWITCH),
        "modulated": "the name of an encoder (text)",
        "probabilities": "a number above 0 for each encoder ({text: 2, image: 1, audio: 1})",
        "read": "one of last, mean",
        "gate_init": "a number",
    },
    "mmbert.fusion.stacking.": {"hidden_dim": WHOLE},
    "mmbert.fusion.adapter.": {"absent": "one of learned, zeros", "project_to": COUNT},
    "mmbert.fusion.mag.": {
        "layer": WHOLE,
        "beta": POSITIVE,
        "words": "one of attention, pooled, aligned",
        "attention_dim": COUNT,
    },
    "mmbert.fusion.missing_aware_prompts.": {"prompts": WHOLE, "prompt_layers": WHOLE},
    "mmbert.tasks.": {
        "label_smoothing": DROPOUT,
        "class_weights": f"one of balanced or a list of values, each {NOT_NEGATIVE},",
    },
    "mmbert.tasks.regression.": {"loss": "one of mse, l1, huber"},
    "mmbert.tasks.retrieval.": {"loss": "one of infonce, siglip"},
    "mmbert.training.optim.": {
        **dict.fromkeys(("lr", "eps"), POSITIVE),
        **dict.fromkeys(("weight_decay", "l1"), NOT_NEGATIVE),
        "betas": f"a list of 2 values, each {DROPOUT},",
        "fused": SWITCH,
        "warmup": "a whole number of steps (500) or a share of all steps below 1 (0.1)",
        "min_lr_ratio": "a number of at least 0 and at most 1",
    },
    "mmbert.training.modality_balance.": {
        "alpha": NOT_NEGATIVE,
        "noise": SWITCH,
        **dict.fromkeys(("first_epoch", "last_epoch"), WHOLE),
        **dict.fromkeys(("every_epochs", "epochs"), COUNT),
        **dict.fromkeys(("start", "end"), CHANCE),
        "shape": "one of linear, cosine",
    },
}

#: The same for options in groups without a class of their own, by dotted path in the config of a plain run.
BY_PATH = {
    "seed": f"{WHOLE} and at most 4294967295",
    **dict.fromkeys(("compile", "plots", "store.enabled", "study.resume"), SWITCH),
    "store.dtype": "one of float32, float16, bfloat16",
    **dict.fromkeys(("store.max_gib", "checkpoint.every_minutes"), POSITIVE),
    "study.trial": WHOLE,
    "study.metric": "a metric (test/answer/accuracy)",
    "study.axes": "a list of values, each a name such as fusion,",
    "encoders_from": "a run's folder, or one for each encoder ({image: outputs/A, audio: outputs/B}),",
    **dict.fromkeys(("data.split.val", "data.split.test"), DROPOUT),
    **dict.fromkeys(
        ("data.split.seed", "data.missing.seed", "robustness.missing.seed", "robustness.noise.seed"), WHOLE
    ),
    "data.missing.rate": f"{NOT_NEGATIVE} and at most 1",
    "data.missing.mechanism": MECHANISMS,
    **dict.fromkeys(("data.missing.modalities", "data.missing.splits"), NAMES),
    **dict.fromkeys(("data.missing.strength", "robustness.missing.strength"), f"{NOT_NEGATIVE} and at most 20"),
    **dict.fromkeys(("robustness.splits", "robustness.noise.modalities"), NAMES),
    **dict.fromkeys(("robustness.subsets", "robustness.noise.together"), SWITCH),
    "robustness.missing.rates": f"a list of values, each {NOT_NEGATIVE} and at most 1,",
    "robustness.missing.mechanisms": f"a list of values, each {MECHANISMS},",
    "robustness.noise.levels": "a list of values, each a number above 0 and at most 1,",
    "robustness.noise.image": "one of gaussian, blur",
    "robustness.noise.audio": "one of white, dropout",
    "robustness.noise.text": "one of typos, words",
    **dict.fromkeys(("robustness.noise.noise_std", "robustness.noise.blur_share"), POSITIVE),
    "robustness.noise.noise_db": "a number of at least -100 and at most 100",
    **dict.fromkeys(("augment.image.flip", "augment.image.erasing"), f"{NOT_NEGATIVE} and at most 1"),
    **dict.fromkeys(("augment.audio.shift_seconds", "augment.audio.gain_db"), NOT_NEGATIVE),
    "augment.text.mask": DROPOUT,
    **dict.fromkeys(("augment.series.noise", "augment.series.scale"), NOT_NEGATIVE),
    "augment.series.gap_share": DROPOUT,
    "augment.modality_dropout": CHANCE,
}


@cache
def options_with_classes() -> list[tuple[str, str, object]]:
    """(class, option, default) of every node in conf/ that has a class of ours."""
    found = []
    for file in sorted(CONF.rglob("*.yaml")):
        content = OmegaConf.to_container(OmegaConf.load(file))  # reads 1e-8 as a number, which PyYAML does not
        assert isinstance(content, dict)
        for _, node in schema.nodes(content):
            if str(node.get("_target_")).startswith("mmbert."):
                found += [(node["_target_"], str(name), value) for name, value in node.items() if name[:1] != "_"]
    return found


@cache
def rules(target: str) -> Mapping[str, Rule]:
    """The rules of a class, read once."""
    return schema.rules_of_node(target)


def rule_at(cfg: dict, path: str) -> Rule | None:
    """The rule of the option with a dotted path, found as the command line finds it."""
    *parents, last = path.split(".")
    node, known = cfg, {}
    for part in parents:
        node = node.get(part) or {}
        known = schema.rules_of_node(node.get("_target_"), known.get(part))
    return known.get(last) or foreign.RULES_BY_PATH.get(path)


def test_every_bounded_option_of_a_class_in_conf_has_its_range() -> None:
    wrong, seen = [], set()
    for target, name, _ in options_with_classes():
        beginnings = [
            start for start, options in BESIDE_ARGUMENTS.items() if target.startswith(start) and name in options
        ]
        if not beginnings:
            continue
        seen.add((beginnings[-1], name))
        rule = rules(target).get(name)
        wanted = BESIDE_ARGUMENTS[beginnings[-1]][name]
        if rule is None or rule.wanted != wanted:
            wrong.append(f"{target} {name}: {rule and rule.wanted}, not {wanted}")
    assert wrong == []
    overridden = {("mmbert.", "hidden_dim"), ("mmbert.fusion.", "hidden_dim"), ("mmbert.fusion.", "attention_dim")}
    written = {(start, name) for start, options in BESIDE_ARGUMENTS.items() for name in options}
    assert written - seen - overridden == set()  # an option that was renamed is to be renamed above too


def test_numbers_and_switches_of_our_classes_all_have_a_rule() -> None:
    lacking = {
        f"{target} {name}"
        for target, name, default in options_with_classes()
        if isinstance(default, (bool, int, float)) and name not in rules(target)
    }
    assert lacking == set()


def test_every_default_in_conf_keeps_its_rule() -> None:
    broken = {}
    for target, name, default in options_with_classes():
        rule = rules(target).get(name)
        if rule is not None and default != "???" and (wrong := rule.complaint(default)):
            broken[f"{target} {name}={default}"] = wrong
    assert broken == {}


def test_options_in_groups_have_theirs() -> None:
    data = yaml.safe_load((CONF / "data" / "manifest.yaml").read_text())
    augment = yaml.safe_load((CONF / "augment" / "none.yaml").read_text())
    robustness = yaml.safe_load((CONF / "robustness" / "none.yaml").read_text())
    train = yaml.safe_load((CONF / "train.yaml").read_text())
    cfg = {**train, "data": data, "augment": augment, "robustness": robustness}
    found = {path: getattr(rule_at(cfg, path), "wanted", None) for path in BY_PATH}
    assert found == BY_PATH


def test_the_rule_in_force() -> None:
    assert schema.rule_of("pytorch_lightning.callbacks.EarlyStopping", "callbacks.x.patience") is not None
    assert schema.rule_of("my_lab.Fusion", "fusion.dropout") is None
    assert schema.rule_of(None, "seed") is not None


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"fusion": {"_target_": "mmbert.fusion.mult.MultFusion", "read": "lst"}}, "fusion.read=lst: .*'last'"),
        (
            {"data": {"_target_": "mmbert.data.datamodule.MultimodalData", "missing": {"rate": 2}}},
            "rate=2: a num",
        ),
        (
            {"data": {"_target_": "mmbert.data.datamodule.MultimodalData", "missing": 2}},
            "missing=2: a group",
        ),
        (
            {"tasks": {"a": {"_target_": "mmbert.tasks.regression.Regression", "weight": -1}}},
            "a.weight=-1: a",
        ),
        ({"trainer": {"_target_": "pytorch_lightning.Trainer", "devices": 0}}, "devices=0: a number of devices"),
    ],
)
def test_a_wrong_value_is_refused_wherever_it_comes_from(node: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        schema.check(node)


def test_the_class_whose_options_a_group_holds_exists() -> None:
    owners = set()
    for target, name, _ in options_with_classes():
        rule = rules(target).get(name)
        if isinstance(rule, OptionsOf) and rule.owner is not None:
            owners.add(rule.owner)
    assert {owner.rpartition(".")[2] for owner in owners} >= {
        "Missing",
        "Drawing",
        "ImageAugmentation",
        "AudioAugmentation",
        "SeriesAugmentation",
    }
    assert all(schema.rules_of(owner) for owner in owners)
