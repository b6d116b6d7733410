"""The laws as pytest tests, one for each law: a test file of three lines."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from mmbert.encoders.base import Encoder
from mmbert.fusion.base import Fusion
from mmbert.tasks.base import Task
from mmbert.testing import encoder_contract, fusion_contract, task_contract
from mmbert.testing.report import Report


def fusion_tests(
    fusion: type[Fusion] | Callable[..., Fusion],
    dims: Mapping[str, int] | None = None,
    out_dim: int | None = None,
    tracing: bool = True,
    **options: Any,
) -> type:
    """A class of tests, to be given a name that begins with ``Test``.

        from mmbert.testing import fusion_tests
        from my_fusion import MyFusion
        TestMyFusion = fusion_tests(MyFusion, hidden=64)

    A broken law fails with its counter-example and likely cause, without a traceback. ``pytest -k padding`` and the
    like choose laws by name.

    Args:
        fusion: the class, or a function with its arguments.
        dims: width by modality; None = sets of three, one, two and five modalities.
        out_dim: width H; None = 8.
        tracing: torch.compile and torch.export too, with two modalities; some seconds more.
        **options: further arguments of the fusion.
    """
    traced = fusion_contract.TRACING

    def check(law: str) -> Report:
        few = {"text": 4, "image": 3} if law in traced and dims is None else dims
        return fusion_contract.check_fusion(fusion, few, out_dim, raise_on_failure=False, only=[law], **options)

    return law_tests(fusion, [*fusion_contract.LAWS, *(traced if tracing else ())], check)


def encoder_tests(
    encoder: type[Encoder] | Callable[..., Encoder], samples: Sequence[Any] | None = None, **options: Any
) -> type:
    """A class of tests as ``fusion_tests`` gives it, for an encoder.

        from mmbert.testing import encoder_tests
        from my_encoder import MyEncoder
        TestMyEncoder = encoder_tests(MyEncoder, hidden=64)

    Args:
        encoder: the class, or a function with its arguments.
        samples: see ``check_encoder``.
        **options: arguments of the encoder.
    """

    def check(law: str) -> Report:
        return encoder_contract.check_encoder(encoder, samples, raise_on_failure=False, only=[law], **options)

    return law_tests(encoder, list(encoder_contract.LAWS), check)


def task_tests(
    task: type[Task] | Callable[..., Task],
    cells: Sequence[Any] | None = None,
    texts: Sequence[str] | None = None,
    wrong: Any = None,
    **options: Any,
) -> type:
    """A class of tests as ``fusion_tests`` gives it, for a task.

        from mmbert.testing import task_tests
        from my_task import MyTask
        TestMyTask = task_tests(MyTask, cells=["low", "high", "low", "middle"])

    Args:
        task: the class, or a function with its arguments.
        cells: see ``check_task``.
        texts: the same.
        wrong: the same.
        **options: arguments of the task; those that ``fit_labels`` gives need not be there.
    """

    def check(law: str) -> Report:
        return task_contract.check_task(task, cells, texts, wrong=wrong, raise_on_failure=False, only=[law], **options)

    return law_tests(task, list(task_contract.LAWS), check)


def law_tests(module: Any, laws: Collection[str], check: Callable[[str], Report]) -> type:
    """A class with one test for each law.

    Args:
        module: the class or function under test, for the tests' name.
        laws: their names.
        check: name of a law -> the report on it.
    """
    import pytest

    @pytest.mark.parametrize("law", list(laws))
    def test_it_keeps_the_law(self: object, law: str) -> None:
        report = check(law)
        if not report.passed:
            pytest.fail(str(report), pytrace=False)

    name = getattr(module, "__name__", type(module).__name__)
    return type(f"Test{name}", (), {"test_it_keeps_the_law": test_it_keeps_the_law, "__doc__": f"The laws, of {name}."})
