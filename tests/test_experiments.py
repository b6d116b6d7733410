"""The tables of the experiments' pages, and of the README, say what the results beside them say."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

ROOT = Path(__file__).parents[1]
METRIC = "test/answer/accuracy"


def results(name: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / "experiments" / name / "results.csv")


def expected() -> dict[str, np.ndarray]:
    """The metric of each seed, by the name of a row."""
    fusion, ablation = results("fusion_comparison"), results("modality_ablation")
    rows = {name: part.sort_values("seed") for name, part in fusion.groupby("fusion")}
    rows |= {name.replace("+", " + "): part for name, part in ablation.groupby("modalities")}
    return {name: part[METRIC].to_numpy() for name, part in rows.items()}


def told(page: str) -> dict[str, tuple[str, str]]:
    """What a page says of each row that it has: mean and spread, and the interval."""
    found: dict[str, tuple[str, str]] = {}
    row = r"\| ([a-z_+ ]+?) \|(?: \d \|)? (\d\.\d{3} ± \d\.\d{3})(?: \|)? \(?(\d\.\d{3} … \d\.\d{3})"
    for name, mean, interval in re.findall(row, (ROOT / page).read_text("utf-8")):
        found.setdefault(name, (mean, interval))
    return found


@pytest.mark.parametrize(
    ("page", "rows"),
    [("README.md", 10), ("experiments/fusion_comparison/README.md", 4), ("experiments/modality_ablation/README.md", 7)],
)
def test_published_means_are_those_of_the_results(page: str, rows: int) -> None:
    known, shown = expected(), told(page)
    assert len(shown) == rows
    for name, (said, interval) in shown.items():
        values = known[name]
        mean, std = values.mean(), values.std(ddof=1)
        assert said == f"{mean:.3f} ± {std:.3f}", name
        half = stats.t.ppf(0.975, len(values) - 1) * std / np.sqrt(len(values))
        assert interval == f"{mean - half:.3f} … {mean + half:.3f}", name


def in_words(values: pd.Series) -> list[str]:
    """``mean ± std``, and Student's interval, as tables have them."""
    mean, std = values.mean(), values.std(ddof=1)
    half = stats.t.ppf(0.975, len(values) - 1) * std / np.sqrt(len(values))
    return [f"{mean:.3f} ± {std:.3f}", f"{mean - half:.3f} … {mean + half:.3f}"]


def test_few_shot_says_what_its_results_say() -> None:
    page = (ROOT / "experiments/few_shot/README.md").read_text("utf-8")
    for rows, part in results("few_shot").groupby("config.data.per_class"):
        counts = [f"{part[column].mean():,.0f}" for column in ("train_rows", "steps")]
        assert " | ".join([f"| {rows}", *counts, *in_words(part[METRIC])]) in page


def test_multitask_gain_says_what_its_results_say() -> None:
    page = (ROOT / "experiments/multitask_gain/README.md").read_text("utf-8")
    table = results("multitask_gain")
    whole = table["tasks"].str.contains("+", regex=False)
    for task, metric in {"answer": "accuracy", "properties": "map", "seen": "accuracy", "heard": "accuracy"}.items():
        column = f"test/{task}/{metric}"
        alone, together = (table[chosen].set_index("seed")[column] for chosen in (table["tasks"] == task, whole))
        gain = in_words(together - alone)
        words = [in_words(alone)[0], in_words(together)[0], f"{(together - alone).mean():+.3f}"]
        line = next(line for line in page.splitlines() if line.startswith(f"| {task} |"))
        assert f"| {' | '.join(words)} (" in line
        low, high = (f"{float(end):+.3f}" for end in gain[1].split(" … "))
        assert f"({low} … {high})" in line


def test_task_balance_says_what_its_results_say() -> None:
    page = (ROOT / "experiments/task_balance/README.md").read_text("utf-8")
    table = results("task_balance")
    signs = {"parity/accuracy": 1, "linear/mae": -1, "curve/mae": -1}
    alone = {name: table[table["tasks"] == name.split("/")[0]].set_index("seed")[f"test/{name}"] for name in signs}
    shown = [in_words(values)[0] for values in alone.values()]
    assert f"| each task alone | {' | '.join(shown)} |" in page
    groups = table[table["tasks"].str.contains("+", regex=False)].groupby("config.balance._target_")
    assert groups.ngroups == 6
    for target, part in groups:
        values = part.set_index("seed")
        gains = [100 * signs[name] * (values[f"test/{name}"] - alone[name]) / alone[name] for name in signs]
        words = [in_words(values[f"test/{name}"])[0] for name in signs]
        name = target.rpartition(".")[2].removesuffix("Balance").lower()
        assert f"| `{name}` | {' | '.join(words)} | {pd.concat(gains, axis=1).mean(axis=1).mean():+.1f} (" in page


def test_noise_robustness_says_what_its_results_say() -> None:
    page = (ROOT / "experiments/noise_robustness/README.md").read_text("utf-8")
    for fusion, part in results("noise_robustness").groupby("fusion"):
        assert len(re.findall(rf"\| {fusion} \| {part[METRIC].mean():.3f} \|", page)) == 4


def test_encoder_comparison_says_what_its_results_say() -> None:
    page = (ROOT / "experiments/encoder_comparison/README.md").read_text("utf-8").replace("**", "")
    table = results("encoder_comparison")
    encoders = table["run"].str.extract(r"/(\w+)-(\w+)-(\w+)-seed\d$")
    groups = table.groupby([encoders[0], encoders[1], encoders[2]])
    assert groups.ngroups == 8
    for names, part in groups:
        assert " | ".join([f"| {names[0]}", *names[1:], *in_words(part[METRIC])]) in page
        others = [f"{part[f'test/{name}/accuracy'].mean():.3f}" for name in ("seen", "heard", "operation")]
        assert f"| {' | '.join(others)} | {part['test/properties/map'].mean():.3f} |" in page


def test_fusion_zoo_says_what_its_results_say() -> None:
    page = (ROOT / "experiments/fusion_zoo/README.md").read_text("utf-8")
    groups = results("fusion_zoo").groupby("fusion")
    strategies = {path.stem for path in (ROOT / "conf" / "fusion").glob("*.yaml")} - {"adapter", "mag"}
    assert set(groups.groups) == strategies
    for fusion, part in groups:
        costs = [f"{part['parameters_fusion'].mean() / 1e3:,.0f}", f"{part['flops_fusion'].mean() / 1e6:.2f}"]
        line = next(line for line in page.splitlines() if line.startswith(f"| {fusion} |"))
        assert line.startswith(" | ".join([f"| {fusion}", *in_words(part[METRIC])]))
        assert f"| {' | '.join(costs)} |" in line


def test_fusion_zoo_says_what_misa_gives_since() -> None:
    page = (ROOT / "experiments/fusion_zoo/README.md").read_text("utf-8")
    table = pd.read_csv(ROOT / "experiments/fusion_zoo/results_misa.csv")
    assert set(table["status"]) == {"finished"} and table["commit"].nunique() == 1 and not table["dirty"].any()
    assert f"at commit `{table['commit'].iloc[0][:7]}`" in page
    groups = table.groupby("fusion")
    for fusion, shown in (("misa", "misa"), ("concat", "concat, beside it")):
        assert f"| {shown} | {' | '.join(in_words(groups.get_group(fusion)[METRIC]))} |" in page


def test_missing_modalities_says_what_its_results_say() -> None:
    page = (ROOT / "experiments/missing_modalities/README.md").read_text("utf-8")
    names = {"random": "at random", "label": "by label", "value": "by value", "exclusive": "all but one"}
    rows = re.findall(r"^\| (.*?) ?\| (0|0\.3) \| (\d\.\d{3} ± \d\.\d{3}) \|", page, re.MULTILINE)
    shown, training = {}, ""
    for name, dropout, whole in rows:
        training = name or training
        shown[training, float(dropout)] = whole
    parts = results("missing_modalities")
    settings = parts["run"].str.extract(r"/(?P<mechanism>\w+)-rate(?P<rate>[\d.]+)-dropout(?P<dropout>[\d.]+)-seed\d$")
    groups = parts.groupby([settings["mechanism"], settings["rate"].astype(float), settings["dropout"].astype(float)])
    known = {
        (f"{rate:.0%}".replace("%", " %, ") + names[mechanism] if rate else "none", dropout): in_words(part[METRIC])[0]
        for (mechanism, rate, dropout), part in groups
    }
    assert shown == known and len(known) == 18


@pytest.mark.parametrize(
    "name",
    [
        "fusion_comparison",
        "modality_ablation",
        "encoder_comparison",
        "few_shot",
        "meld_sentiment_ordinal",
        "meld_task_balance",
        "one_voice_speech",
        "missing_modalities",
        "multitask_gain",
        "noise_robustness",
        "task_balance",
        "fsdd_speech",
        "extractive_summaries",
        "stamps_captions",
        "stamps_few_shot",
        "stamps_translation",
        "digits_span",
    ],
)
def test_results_come_from_one_clean_commit(name: str) -> None:
    table = results(name)
    assert set(table["status"]) == {"finished"}
    assert table["commit"].nunique() == 1 and not table["dirty"].any()
    commit = table["commit"].iloc[0]
    assert f"`{commit[:7]}`" in (ROOT / "experiments" / name / "README.md").read_text("utf-8")


def test_stamps_retrieval_says_what_its_results_say() -> None:
    page = (ROOT / "experiments/stamps_retrieval/README.md").read_text("utf-8")
    table = results("stamps_retrieval")
    baselines = pd.read_csv(ROOT / "experiments/stamps_retrieval/baselines.csv").set_index(["method", "direction"])
    for direction in baselines.loc["chance"].index:
        column = f"test/{direction}_recall_at_10"
        words = [in_words(part[column]) for _, part in table.groupby("loss")]
        others = [f"{baselines.loc[(name, direction), 'recall_at_10']:.3f}" for name in ("ridge", "cca", "chance")]
        line = " | ".join([direction.replace("_to_", " → "), *words[0], *words[1], *others])
        assert f"| {line} |" in page
    prompts = pd.read_csv(ROOT / "experiments/stamps_retrieval/zero_shot.csv")
    for _, part in prompts.groupby("loss"):
        mean, interval = in_words(part["accuracy"])
        assert f"{mean}\n({interval})" in page or f"{mean} ({interval})" in page


def test_fsdd_speech_says_what_its_results_say() -> None:
    page = (ROOT / "experiments/fsdd_speech/README.md").read_text("utf-8")
    table, baseline = results("fsdd_speech"), json.loads((ROOT / "experiments/fsdd_speech/baseline.json").read_text())
    augmented = table[table["run"].str.startswith("augmented")]
    rates = [*in_words(augmented["test/said/wer"]), in_words(augmented["test/said/cer"])[0]]
    assert f"| CTC with SpecAugment | {len(augmented)} | {' | '.join(rates)} |" in page
    plain = table[table["run"] == "plain-seed0"].iloc[0]
    assert f"| {plain['test/said/wer']:.3f} | – | {plain['test/said/cer']:.3f} |" in page
    for name in ("logistic regression", "most frequent"):
        assert f"| {baseline[name]['wer']:.3f} | – | {baseline[name]['cer']:.3f} |" in page


#: Pages of tasks whose answers are texts: what a row of the table is about, and the metrics in it.
TEXT_PAGES = {
    "digits_statement": (["fusion"], "statement", ["bleu", "chrf", "rougeL", "exact_match"]),
    "extractive_summaries": (["fusion"], "short", ["rouge1", "rouge2", "rougeL"]),
}


@pytest.mark.parametrize("name", sorted(TEXT_PAGES))
def test_pages_of_texts_say_what_their_results_say(name: str) -> None:
    page = (ROOT / "experiments" / name / "README.md").read_text("utf-8")
    table = results(name)
    by, task, metrics = TEXT_PAGES[name]
    for group, part in table.groupby(by):
        label = f"| {' | '.join(group)} |"
        line = next(line for line in page.splitlines() if line.startswith(label))
        assert len(part) == 3
        for metric in metrics:
            assert f"| {' | '.join(in_words(part[f'test/{task}/{metric}']))} |" in line


def test_stamps_translation_says_what_its_results_say() -> None:
    page = (ROOT / "experiments/stamps_translation/README.md").read_text("utf-8")
    groups = results("stamps_translation").groupby(["config.tasks.caption.column", "modalities"])
    assert groups.ngroups == 4
    for (column, modalities), part in groups:
        cells = [{"caption_fr": "French", "caption_de": "German"}[column], modalities.replace("+", " + ")]
        for metric in ("bleu", "chrf"):
            cells += in_words(part[f"test/caption/{metric}"])
        assert f"| {' | '.join(cells)} |" in page


def test_meld_sentiment_ordinal_says_what_its_results_say() -> None:
    page = (ROOT / "experiments/meld_sentiment_ordinal/README.md").read_text("utf-8")
    table = results("meld_sentiment_ordinal")
    kinds = table["config.tasks.sentiment._target_"].str.extract(r"tasks\.(\w+)\.")[0]
    assert sorted(kinds.unique()) == ["classification", "ordinal"]
    for kind, part in table.groupby(kinds):
        answers = [in_words(part[f"test/sentiment/{name}"])[0] for name in ("accuracy", "f1_weighted")]
        assert f"| {kind} | {' | '.join(answers)} |" in page
        calibrated = [in_words(part[f"test/sentiment/{name}"])[0] for name in ("nll", "ece", "aurc")]
        assert f"| {kind}, calibrated | {' | '.join(calibrated)} |" in page


def test_meld_emotion_says_what_its_results_say() -> None:
    page = (ROOT / "experiments/meld_emotion/README.md").read_text("utf-8")
    table = results("meld_emotion")
    kinds = table["run"].str.extract(r"/weights-(\w+)-seed\d$")[0]
    assert sorted(kinds.unique()) == ["None", "balanced"]
    for kind, part in table.groupby(kinds):
        shown = "MiniLM, class weights" if kind == "balanced" else "MiniLM"
        mean, interval = in_words(part["test/emotion/f1_weighted"])
        assert f"| {shown} | {mean} | {interval} | {in_words(part['test/emotion/f1'])[0]} |" in page
        assert f"{in_words(part['val/emotion/f1_weighted'])[0]}" in page


def test_stamps_topic_and_kind_says_what_its_results_say() -> None:
    page = (ROOT / "experiments/stamps_topic_and_kind/README.md").read_text("utf-8")
    base = pd.read_csv(ROOT / "experiments/stamps_topic_and_kind/baseline.csv")
    table = results("stamps_topic_and_kind")
    assert set(base["rows"]) == set(table["test_rows"]), "baseline and runs were measured on other rows"
    for task in ("topic", "kind"):
        for subset, part in table.groupby("modalities"):
            known = base[(base["task"] == task) & (base["modalities"] == subset)].iloc[0]
            baseline = f"{known['accuracy']:.3f} | {known['low']:.3f} … {known['high']:.3f}"
            accuracy = part[f"test/{task}/accuracy"]
            assert f"| {task} | {subset.replace('+', ' + ')} | {' | '.join(in_words(accuracy))} | {baseline} |" in page
        majority = base[(base["task"] == task) & (base["modalities"] == "majority")].iloc[0]
        assert f"| {task} | none, the most frequent | | | {majority['accuracy']:.3f}" in page


def test_stamps_few_shot_says_what_its_results_say() -> None:
    folder = ROOT / "experiments/stamps_few_shot"
    page, table = (folder / "README.md").read_text("utf-8"), results("stamps_few_shot")
    simple = pd.read_csv(folder / "logistic_regression.csv")
    contrastive = table["config.tasks.topic._target_"].str.endswith("ContrastiveClassification")
    for per_class, part in table.groupby("config.data.per_class"):
        for metric in ("accuracy", "f1"):
            head, pairs = (
                part[contrastive[part.index] == chosen].set_index("seed")[f"test/topic/{metric}"]
                for chosen in (False, True)
            )
            assert len(head) == len(pairs) == 10
            gain = pairs - head.loc[pairs.index]
            half = stats.t.ppf(0.975, 9) * gain.std() / np.sqrt(10)
            p = stats.ttest_rel(pairs, head.loc[pairs.index]).pvalue
            cells = [in_words(head)[0], in_words(pairs)[0]]
            cells += [f"{gain.mean():+.3f} ({gain.mean() - half:+.3f} … {gain.mean() + half:+.3f}), p = {p:.2g}"]
            cells += [in_words(simple[simple["per_class"] == per_class][metric])[0]]
            assert f"| {' | '.join(cells)} |" in page


@pytest.mark.parametrize(
    ("name", "metric"),
    [("meld", "emotion/f1_weighted"), ("meld", "emotion/f1"), ("stamps", "topic/accuracy"), ("stamps", "topic/f1")],
)
def test_pretraining_gain_says_what_its_results_say(name: str, metric: str) -> None:
    folder = ROOT / "experiments/pretraining_gain"
    page, table = (folder / "README.md").read_text("utf-8"), pd.read_csv(folder / f"results_{name}.csv")
    simple = pd.read_csv(folder / "tfidf.csv")
    simple = simple[simple["set"] == name]
    trained = table["run"].str.contains("/mlm/")
    assert trained.sum() == len(table) / 2 == 15
    for per_class, part in table.groupby("config.data.per_class"):
        given, after = (
            part[trained[part.index] == chosen].set_index("seed")[f"test/{metric}"] for chosen in (False, True)
        )
        gain = after - given
        half = stats.t.ppf(0.975, 4) * gain.std() / np.sqrt(5)
        p = stats.ttest_rel(after.sort_index(), given.sort_index()).pvalue
        cells = [str(per_class), f"{part['train_rows'].mean():,.0f}", *in_words(given), *in_words(after)]
        low, high = gain.mean() - half, gain.mean() + half
        cells.append(f"{gain.mean():+.3f} ± {gain.std():.3f} ({low:+.3f} … {high:+.3f}), p = {p:.2g}")
        alone = simple[simple["per_class"] == per_class]
        for method in ("labelled", "all"):
            cells.append(in_words(alone[alone["method"] == method][metric.partition("/")[2]])[0])
        assert f"| {' | '.join(cells)} |" in page


def test_stamps_captions_says_what_its_results_say() -> None:
    page = (ROOT / "experiments/stamps_captions/README.md").read_text("utf-8")
    groups = results("stamps_captions").groupby("modalities")
    assert groups.ngroups == 3
    for name, part in groups:
        scores = {score: in_words(part[f"test/caption/{score}"]) for score in ("bleu", "chrf", "cider", "rougeL")}
        cells = [name.replace("+", " + "), scores["bleu"][0], *scores["chrf"], scores["cider"][0], scores["rougeL"][0]]
        assert f"| {' | '.join(cells)} | {in_words(part['test/caption/distinct2'])[0]} |" in page


def test_digits_span_says_what_its_results_say() -> None:
    page = (ROOT / "experiments/digits_span/README.md").read_text("utf-8")
    table = results("digits_span")
    shown = {
        ("text", "place+heard"): "text, with `heard`",
        ("text+audio", "place"): "text + audio, without `heard`",
        ("text+audio", "place+heard"): "text + audio, with `heard`",
    }
    groups = table.groupby(["modalities", "tasks"])
    assert set(groups.groups) == set(shown)
    for name, part in groups:
        assert sorted(part["seed"]) == [0, 1, 2]
        scores = [word for metric in ("exact_match", "f1") for word in in_words(part[f"test/place/{metric}"])]
        assert f"| {shown[name]} | {' | '.join(scores)} |" in page
    heard = groups.get_group(("text+audio", "place+heard"))
    for metric in ("place/has_answer_f1", "place/no_answer_accuracy", "heard/accuracy"):
        assert in_words(heard[f"test/{metric}"])[0] in page


def test_meld_task_balance_says_what_its_results_say() -> None:
    page = (ROOT / "experiments/meld_task_balance/README.md").read_text("utf-8")
    table, metrics = results("meld_task_balance"), ("emotion/f1_weighted", "sentiment/accuracy")
    alone = {
        name: table[table["tasks"] == name.partition("/")[0]].set_index("seed")[f"test/{name}"] for name in metrics
    }
    assert f"| each task alone | {' | '.join(in_words(alone[name])[0] for name in metrics)} |" in page
    groups = table[table["tasks"] == "emotion+sentiment"].groupby("config.balance")
    assert groups.ngroups == 6
    for balance, part in groups:
        values = part.set_index("seed")
        gains = [100 * (values[f"test/{name}"] - alone[name]) / alone[name] for name in metrics]
        gain = pd.concat(gains, axis=1).mean(axis=1)
        half = stats.t.ppf(0.975, 4) * gain.std() / np.sqrt(5)
        words = [in_words(values[f"test/{name}"])[0] for name in metrics]
        words.append(f"{gain.mean():+.1f} ({gain.mean() - half:+.1f} … {gain.mean() + half:+.1f})")
        assert f"| `{balance}` | {' | '.join(words)} |" in page


def test_one_voice_speech_says_what_its_results_say() -> None:
    folder = ROOT / "experiments/one_voice_speech"
    page, table = (folder / "README.md").read_text("utf-8"), results("one_voice_speech")
    nearest = json.loads((folder / "nearest.json").read_text())
    searches = {"best path": "", "beam of 16": "_beam", "beam, rescored": "_rescored"}
    for name, label in {"prompts": "English prompts", "stamps": "French captions"}.items():
        part = table[table["run"].str.startswith(name)]
        assert len(part) == 3
        for search, ending in searches.items():
            rates = [part[f"test/said/{rate}{ending}"] for rate in ("wer", "cer")]
            if rates[0].notna().all():
                assert f"| {label} | {search} | {' | '.join(sum(map(in_words, rates), []))} |" in page
        for method, rate in (("nearest training recording", "nearest"), ("silence", "silence")):
            assert (
                f"| {label} | {method} | {nearest[name][rate]['wer']:.3f} | | {nearest[name][rate]['cer']:.3f} |"
                in page
            )


def test_modality_shares_says_what_its_results_say() -> None:
    page = (ROOT / "experiments/modality_shares/README.md").read_text("utf-8")
    groups = results("modality_shares").groupby("setting")
    assert groups.ngroups == 3
    for setting, part in groups:
        line = next(line for line in page.splitlines() if line.startswith(f"| {setting} |"))
        for column in ("metric/a", "metric/b", "metric/a_b"):
            assert f"| {' | '.join(in_words(part[column]))} |" in line
        assert line.endswith(f"| {in_words(part['output/a/share'])[0]} |")
    # what Shapley values of the best possible model are, worked out from its accuracy with each subset
    table = results("modality_shares").groupby("setting").mean(numeric_only=True)
    for setting, (none, alone) in {"synergy": (0.5, 0.5), "uniqueness": (0.25, 0.5), "redundancy": (0.5, 1.0)}.items():
        share = (alone - none) / 2 + (1 - alone) / 2
        assert abs(table.loc[setting, ["metric/a", "metric/b"]] - share).max() < 0.02
        assert abs(table.loc[setting, "metric/a_b"] - (1 - 2 * alone + none)) < 0.03


def test_membership_inference_says_what_its_results_say() -> None:
    page = (ROOT / "experiments/membership_inference/README.md").read_text("utf-8")
    table = results("membership_inference")
    assert len(table) == 6 and not table["dirty"].any()
    names = {"none": "none", "epsilon8": "ε = 8", "epsilon2": "ε = 2"}
    for _, line in table.iterrows():
        cells = [f"{line[name]:.3f}" for name in ("test_accuracy", "accuracy_members", "accuracy_non_members")]
        rates = [
            f"{attack}/tpr_at_fpr_{level}" for attack, level in (("lira", 0.001), ("lira", 0.01), ("threshold", 0.01))
        ]
        for measure in (*rates[:2], "lira/auc", rates[2], "threshold/auc"):
            value, low, high = (line[f"{measure}{end}"] for end in ("", "/low", "/high"))
            assert low <= value <= high
            scale, digits = (1, 3) if measure.endswith("auc") else (100, 2)
            value, low, high = (f"{scale * number:.{digits}f}" for number in (value, low, high))
            cells.append(f"{value} [{low}, {high}]")
        assert f"| {names[line['setting']]} | {line['task']} | {' | '.join(cells)} |" in page
    spent = table.groupby("setting")["epsilon"].first()
    assert 0.99 * 8 <= spent["epsilon8"] <= 8 and 0.99 * 2 <= spent["epsilon2"] <= 2
    assert set(table["non_member_pairs"]) == {22_144} and set(table["samples"]) == {692}


def test_explanation_faithfulness_says_what_its_results_say() -> None:
    page = (ROOT / "experiments/explanation_faithfulness/README.md").read_text("utf-8")
    table = results("explanation_faithfulness")
    first = ["accuracy", "area", "share", "random_share", "hit", "random_hit", "modality_share"]
    second = ["deletion", "deletion_random", "insertion", "insertion_random"]
    third = [f"{kind}/{stage}" for stage in ("heads", "fusion", "encoders") for kind in ("rank", "rank_of_sizes")]
    for plant, part in table.groupby("plant"):
        assert sorted(part["seed"]) == [0, 1, 2] and not part["dirty"].any()
        for columns, end in ((first, " |"), (second, f" | {part['largest_gap'].max():.3f} |"), (third, " |")):
            assert f"| {plant} | {' | '.join(in_words(part[column])[0] for column in columns)}{end}" in page
    for kind in ("deletion", "insertion"):  # the page says that every interval excludes 0
        assert (table[f"{kind}_gain_low"] > 0).all()


def test_label_errors_and_mismatches_says_what_its_results_say() -> None:
    page = (ROOT / "experiments/label_errors_and_mismatches/README.md").read_text("utf-8")
    table = results("label_errors_and_mismatches")
    assert not table["dirty"].any() and table["commit"].nunique() == 1
    columns = ["auroc", "agreement", "precision_at_estimate", "precision_of_flagged", "recall_of_flagged"]
    labels, pictures, copies = (table[table["plant"] == plant] for plant in ("labels", "pictures", "copies"))
    for method, part in labels.groupby("method"):
        assert sorted(part["seed"]) == [0, 1, 2] and set(part["planted"]) == {103}
        counts = [f"{part[name].mean():.0f} ± {part[name].std():.0f}" for name in ("estimate", "flagged")]
        cells = [in_words(part[name])[0] if part[name].notna().all() else "–" for name in columns]
        assert f"| {method} | {' | '.join([*cells[:2], counts[0], cells[2], counts[1], *cells[3:]])} |" in page
    for (score, partners), part in pictures.groupby(["score", "partners"]):
        cells = [in_words(part[part["method"] == method]["auroc"])[0] for method in ("cross-validated", "in-sample")]
        told = in_words(part[part["method"] == "cross-validated"]["auroc_told"])[0]
        assert f"| {score} | {partners} | {' | '.join([*cells, told])} |" in page
    for (score, way), part in copies.groupby(["score", "partners"]):
        assert sorted(part["seed"]) == [0, 1, 2] and part["other_pairs"].nunique() == 1
        others = f"{part['other_pairs'].iloc[0]:.0f}"
        assert f"| {score} | {way} | {in_words(part['recall'])[0]} | {others} |" in page
    told = pictures[(pictures["method"] == "in-sample") & (pictures["partners"] == "other class")]["auroc_told"]
    assert (told > 0.999).all() and "say 1.000" in page
    # what the page, and docs/checking_data.md, conclude
    docs = (ROOT / "docs/checking_data.md").read_text("utf-8")
    heads = pictures[(pictures["score"] == "unimodal heads") & (pictures["partners"] == "other class")]
    for part in (labels, heads):
        assert f"AUROC {'of ' * (part is heads)}{part[part['method'] == 'cross-validated']['auroc'].mean():.2f}" in docs
    scores = labels.pivot(index="seed", columns="method", values="auroc")
    assert (scores["cross-validated"] > scores["in-sample"] + 0.1).all()


def test_exported_models_says_what_its_results_say() -> None:
    page = (ROOT / "experiments/exported_models/README.md").read_text("utf-8")
    table = results("exported_models")
    strategies = {path.stem for path in (ROOT / "conf/fusion").glob("*.yaml")}
    assert set(table["fusion"]) == strategies and len(table) == 2 * len(strategies)
    assert table["reason"].isna().all() and (table["max_difference"] <= 1e-4).all()
    for name, part in table.groupby("fusion"):
        rows = part.set_index("format")
        onnx, torch = rows.loc["onnx"], rows.loc["torch"]
        cells = [f"{one['max_difference']:.1e}" for one in (onnx, torch)]
        cells += [f"{one['bytes'] / 1024:,.0f}" for one in (onnx, torch)]
        cells += [f"{onnx['trace_seconds']:.1f}", *(f"{one['write_seconds']:.1f}" for one in (onnx, torch))]
        assert f"| `{name}` | {' | '.join(cells)} |" in page
    for form, part in table.groupby("format"):
        worst = part.loc[part["max_difference"].idxmax()]
        assert f"{worst['max_difference']:.1e} (`{worst['fusion']}`)" in page or not worst["max_difference"], form


def test_the_benchmark_of_compressed_models_says_what_its_results_say() -> None:
    page = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    content = json.loads((ROOT / "benchmarks" / "results" / "compressed.json").read_text())
    shown = {"float32 in PyTorch": "original", "ONNX": "onnx", "int8 in onnxruntime": "int8_onnx"}
    shown |= {"a quarter pruned": "structured", "both": "structured+int8_onnx"}
    shown |= {f"without {name}": f"without {name}" for name in ("text", "image", "audio")}
    rows = {row["variant"]: row for row in content["rows"]}
    assert set(rows) == set(shown.values())
    for words, variant in shown.items():
        row = rows[variant]
        (cells,) = re.findall(rf"^\| {re.escape(words)} \| (.*) \|$", page, re.MULTILINE)
        numbers = [
            *(f"{row['points'] / 100:.3f}", "" if variant == "original" else f"{row['points_lost']:.1f}"),
            *(f"{row['mib']:.1f}", f"{row['p50_ms/1']:.1f}", f"{row['speedup/1']:.2f}".replace("1.00", "1")),
            *(f"{row['p50_ms/32']:.0f}", f"{row['speedup/32']:.2f}".replace("1.00", "1"), f"{row['peak_mib']:,.0f}"),
        ]
        told_numbers = [cell.strip().replace("−", "-") for cell in cells.split("|")]
        assert [cell.replace("-0.0", "0.0") for cell in numbers] == told_numbers, words
    assert rows["int8_onnx"]["speedup/1"] >= 1.8 and rows["int8_onnx"]["points_lost"] <= 0.5
    assert rows["structured+int8_onnx"]["speedup/1"] >= 2.5
    readme = (ROOT / "README.md").read_text("utf-8")
    said = f"{rows['int8_onnx']['speedup/1']:.1f} times faster ({rows['structured+int8_onnx']['speedup/1']:.1f})"
    assert said in readme
