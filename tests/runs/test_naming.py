"""Short names of runs, from their configs and folders."""

from mmbert.runs import naming


def test_a_strategy_goes_by_its_file_or_its_class():
    assert naming.fusion_name({"fusion": {"_target_": "mmbert.fusion.late_mean.LateMeanFusion"}}) == "late_mean"
    assert naming.fusion_name({"fusion": {"_target_": "my_lab.swirl.Swirl"}}) == "Swirl"
    assert naming.fusion_name({}) == ""


def test_usual_modalities_come_first_and_those_switched_off_are_left_out():
    config = {"encoders": {"notes": {"x": 1}, "audio": {"x": 1}, "image": None, "text": {"x": 1}}}
    assert naming.modality_names(config) == ["notes", "audio", "text"]
    assert naming.modalities_label(config) == "text+audio+notes"
    assert naming.tasks_label({"tasks": {"answer": {"x": 1}, "seen": None, "value": {"x": 1}}}) == "answer+value"


def test_nested_options_become_dotted_ones():
    assert naming.flatten({"a": {"b": {"c": 1}, "d": [1, {"e": 2}]}, "f": {}}) == {"a.b.c": 1, "a.d": [1, {"e": 2}]}


def test_a_group_is_the_study_or_the_sweeps_folder(tmp_path):
    job = tmp_path / "2030-01-02" / "03-04-05" / "0"
    job.mkdir(parents=True)
    assert naming.sweep_name(job) is None and naming.group_name({}, job) is None
    (job.parent / "multirun.yaml").touch()
    assert naming.sweep_name(job) == "2030-01-02_03-04-05"
    assert naming.group_name({"study": {"name": "bakeoff"}}, job) == "bakeoff"
    (tmp_path / "mine" / "0").mkdir(parents=True)
    (tmp_path / "mine" / "multirun.yaml").touch()
    assert naming.group_name({"study": None}, tmp_path / "mine" / "0") == "mine"
