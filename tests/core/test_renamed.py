"""A class of one's own that uses an attribute's old name is answered with the new one, not ignored."""

import pytest

from mmbert.core.errors import ConfigError
from mmbert.core.renamed import refuse_renamed
from mmbert.encoders.base import ENCODER_RENAMES, Encoder
from mmbert.fusion.base import FUSION_RENAMES, Fusion


@pytest.mark.parametrize(
    ("base", "old", "new"),
    [(Fusion, *names) for names in FUSION_RENAMES.items()] + [(Encoder, *names) for names in ENCODER_RENAMES.items()],
)
def test_a_subclass_with_an_old_name_is_refused_where_it_is_defined(base, old, new):
    with pytest.raises(ConfigError) as raised:
        type("Mine", (base,), {old: True, "__module__": "my_lab"})
    assert str(raised.value) == f"my_lab.Mine defines '{old}', which is called '{new}' now."
    assert hasattr(base, new), "the message must name an attribute that there is"
    type("Mine", (base,), {new: True})


def test_only_the_body_of_the_class_itself_is_looked_at():
    class Parent:
        old = 1

    class Child(Parent):
        new = 1

    with pytest.raises(ConfigError, match="Parent defines 'old'"):
        refuse_renamed(Parent, {"old": "new"})
    refuse_renamed(Child, {"old": "new"})
