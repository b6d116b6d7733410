"""Models on the hub: what goes up, what comes down, and what is said when either fails. No network is used."""

import re
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
import yaml
from huggingface_hub import errors

from mmbert.core.errors import InputError
from mmbert.model import MultimodalModel, hub


class Hub:
    """A hub in a folder, behind the two calls of the library that are used."""

    def __init__(self, folder):
        self.folder = folder
        self.calls = []

    def api(self, token=None):
        self.calls.append(("token", token))
        return self

    def create_repo(self, name, private, exist_ok):
        self.calls.append(("create", name, private))
        assert exist_ok
        return huggingface_hub.RepoUrl(f"https://huggingface.co/{name}")

    def upload_folder(self, repo_id, folder_path, commit_message):
        self.calls.append(("upload", repo_id, commit_message))
        shutil.copytree(folder_path, self.folder / repo_id)

    def download(self, name, revision=None, token=None, allow_patterns=None):
        if not (self.folder / name).is_dir():
            raise error_of(errors.RepositoryNotFoundError)
        self.calls.append(("download", name, revision, token))
        return str(self.folder / name)


def error_of(kind):
    import httpx

    answer = httpx.Response(404, request=httpx.Request("GET", "https://huggingface.co"))
    return kind("not here\nsecond line", response=answer)


@pytest.fixture
def online(tmp_path, monkeypatch):
    fake = Hub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", fake.api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.download)
    monkeypatch.chdir(tmp_path)
    return fake


def test_a_model_goes_up_and_comes_down_the_same(finished_run, online):
    model = MultimodalModel.from_pretrained(finished_run / "model")
    address = model.push_to_hub("user/tiny", token="secret", private=True, commit_message="first")
    assert address == "https://huggingface.co/user/tiny"
    assert online.calls == [("token", "secret"), ("create", "user/tiny", True), ("upload", "user/tiny", "first")]
    went_up = {
        str(path.relative_to(online.folder / "user/tiny")) for path in (online.folder / "user/tiny").rglob("*.*")
    }
    assert {name for name in went_up if "/" not in name} == {"config.json", "model.safetensors", "README.md"}
    assert all(name.startswith("encoders/") for name in went_up if "/" in name)
    again = MultimodalModel.from_pretrained("user/tiny", revision="v1", token="secret")
    assert online.calls[-1] == ("download", "user/tiny", "v1", "secret")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    sample = {"text": "Add the two numbers."}
    assert again.predict([sample]) == model.predict([sample]) and again.card == model.card


def test_a_folder_here_wins_over_a_name_there(finished_run, online, monkeypatch):
    shutil.copytree(finished_run / "model", Path("user/tiny"))
    MultimodalModel.from_pretrained("user/tiny")
    assert not online.calls
    assert hub.is_hub_name("user/other") and not hub.is_hub_name("user/tiny")
    for no_name in ("tiny", "/user/tiny", "./user/tiny", "a/b/c", "user/", "../x"):
        assert not hub.is_hub_name(no_name)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (errors.RepositoryNotFoundError, "there is none of this name, or it is private"),
        (errors.GatedRepoError, "it asks for permission. Log in with 'hf auth login'"),
        (errors.RevisionNotFoundError, "no such revision"),
        (errors.LocalEntryNotFoundError, "the hub cannot be reached"),
        (errors.OfflineModeIsEnabled, "the hub cannot be reached"),
        (errors.HfHubHTTPError, "not here$"),
        (errors.HFValidationError, "not here$"),
    ],
)
def test_what_fails_is_told_in_words(kind, said, online, monkeypatch, finished_run):
    def fails(*args, **options):
        raise error_of(kind) if issubclass(kind, errors.HfHubHTTPError) else kind("not here\nsecond line")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fails)
    with pytest.raises(InputError, match=said) as told:
        MultimodalModel.from_pretrained("user/none")
    assert "There is no folder user/none" in str(told.value)
    monkeypatch.setattr(online, "upload_folder", fails)
    with pytest.raises(InputError, match=said):
        MultimodalModel.from_pretrained(finished_run / "model").push_to_hub("user/mine")


def test_commands_take_names_on_the_hub(finished_run, online, capsys, monkeypatch):
    from mmbert.cli import predict

    MultimodalModel.from_pretrained(finished_run / "model").push_to_hub("user/tiny")
    predict.main(["model=user/tiny", "text=Add the two numbers.", "--json"])
    assert '"operation"' in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        predict.main(["model=user/nothing", "text=x"])
    assert end.value.code == 2 and "hub" in capsys.readouterr().err


def test_code_from_outside_stays_shut(finished_run, online):
    import json

    MultimodalModel.from_pretrained(finished_run / "model").push_to_hub("user/tiny")
    config = online.folder / "user/tiny/config.json"
    content = json.loads(config.read_text())
    content["fusion"]["class"] = "elsewhere.Fusion"
    config.write_text(json.dumps(content))
    with pytest.raises(InputError, match="elsewhere.Fusion, from outside the package"):
        MultimodalModel.from_pretrained("user/tiny")


def test_the_card_of_a_run(finished_run):
    import json

    card = (finished_run / "model" / "README.md").read_text()
    _, head, body = card.split("---\n", 2)
    known = yaml.safe_load(head)
    metrics = json.loads((finished_run / "metrics.json").read_text())
    assert known["library_name"] == "mmbert" and "license" not in known
    (index,) = known["model-index"]
    values = {metric["name"]: metric["value"] for result in index["results"] for metric in result["metrics"]}
    assert len(values) == len([name for name in metrics if re.fullmatch(r"test/\w+/(?!loss)\w+", name)])
    assert values["heard accuracy"] == pytest.approx(metrics["test/heard/accuracy"], abs=1e-4)
    assert f"| heard/accuracy | {metrics['val/heard/accuracy']:.4f} | {metrics['test/heard/accuracy']:.4f} |" in body
    assert metrics["data_fingerprint"] in body and "train 48, val 16, test 17" in body
    assert "TextEncoder" in body and "CrossAttentionFusion" in body and "subtract_from" in body
    assert str(finished_run) not in card and str(Path.home()) not in card
    model = MultimodalModel.from_pretrained(finished_run / "model")
    assert model.card == card
