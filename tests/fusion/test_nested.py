"""A strategy inside another: found by the name of its file, with its options, and refused in words."""

import pytest
import torch

from mmbert.core.errors import ConfigError
from mmbert.fusion.low_rank import LowRankFusion
from mmbert.fusion.nested import build_base, strategy_in


def test_the_strategy_is_the_one_of_that_file_with_its_options():
    torch.manual_seed(0)
    base = build_base("low_rank", {"text": 4, "image": 3}, 6, {"rank": 2})
    assert isinstance(base, LowRankFusion) and list(base.dims) == ["text", "image"] and base.out_dim == 6
    assert base.factors["text"].shape == (2, 5, 6)  # rank, width and a one, out_dim


@pytest.mark.parametrize("module", ["base", "nested", "decision_level"])
def test_files_that_hold_no_strategy_are_none(module):
    assert strategy_in(module) is None
    with pytest.raises(ConfigError, match=f"fusion.base={module} is no strategy of the package"):
        build_base(module, {"text": 4}, 6, None)


def test_the_nearest_name_is_offered_and_a_wrong_option_is_named():
    with pytest.raises(ConfigError, match="fusion.base=low_rang is no strategy.*Did you mean 'low_rank'"):
        build_base("low_rang", {"text": 4}, 6, None)
    with pytest.raises(ConfigError, match="fusion.base_options={'rang': 2} do not fit fusion.base=low_rank.*rang"):
        build_base("low_rank", {"text": 4}, 6, {"rang": 2})
