"""Commands that are killed at random moments leave no half files, and end in the end as if nobody had touched them."""

from __future__ import annotations

import time

import pytest

from killer.runner import run_kills, table_of_kills
from killer.scenario import Scenario
from killer.scenarios import SCENARIOS


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_kills(scenario):
    count = run_kills(scenario, scenario.kills)
    print(table_of_kills({scenario.name: count}))
    assert not count.faults, "\n\n".join(count.faults)
    assert count.kills >= scenario.kills and count.rounds


class InPlace(Scenario):
    """Writes its file in its place, slowly, and takes over what it finds there when it is started again."""

    name = "in place"
    heavy = False

    def begun(self, folder):
        return (folder / "numbers.json").exists()

    def work(self, shared, folder):
        path = folder / "numbers.json"
        before = path.read_text() if path.exists() else ""
        with path.open("w") as file:
            for part in ("[0", ", 1", ", 2", f", 3, {len(before)}]"):
                file.write(part)
                file.flush()
                time.sleep(0.3)

    def left(self, shared, folder):
        return {"numbers": (folder / "numbers.json").read_text()}


class Failing(Scenario):
    """Cannot be started twice."""

    name = "failing"
    heavy = False

    def begun(self, folder):
        return (folder / "there").exists()

    def work(self, shared, folder):
        (folder / "there").mkdir()
        time.sleep(1)

    def left(self, shared, folder):
        return {}


@pytest.mark.slow
def test_half_files_and_differences_are_seen():
    count = run_kills(InPlace(), 4)
    assert count.kills >= 4 and count.rounds and set(count.torn) == {"numbers.json"}
    assert any("numbers" in difference for difference in count.differences)


@pytest.mark.slow
def test_a_command_that_does_not_go_on_is_seen():
    count = run_kills(Failing(), 2)
    assert any("FileExistsError" in difference for difference in count.differences)
