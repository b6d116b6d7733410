"""The laws as pytest tests, one a law: a test file of three lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmbert.fusion.base import Fusion
from mmbert.testing.fusion_contract import LAWS, TRACING, check_fusion


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
    import pytest

    @pytest.mark.parametrize("law", [*LAWS, *(TRACING if tracing else ())])
    def test_it_keeps_the_law(self: object, law: str) -> None:
        few = {"text": 4, "image": 3} if law in TRACING and dims is None else dims
        report = check_fusion(fusion, few, out_dim, raise_on_failure=False, only=[law], **options)
        if not report.passed:
            pytest.fail(str(report), pytrace=False)

    name = getattr(fusion, "__name__", "Fusion")
    return type(f"Test{name}", (), {"test_it_keeps_the_law": test_it_keeps_the_law, "__doc__": f"The laws, of {name}."})
