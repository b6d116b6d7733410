"""Text of others is shown, and obeyed nowhere: in a terminal, in a cell and in a paragraph of Markdown."""

import pytest

from mmbert.core.shown_text import markdown_code, markdown_text, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 文本 🙂\tand\nmore", "plain é 文本 🙂\tand\nmore"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\rb\x07\x00", "a\\rb\\x07\\x00"),
        ("\x9b31m", "\\x9b31m"),
        ("txt.\u202egnp.exe", "txt.\\u202egnp.exe"),
        (3, "3"),
    ],
)
def test_orders_to_a_terminal_are_written_out(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", "a\\|b"),
        ("<script>x</script>", "&lt;script&gt;x&lt;/script&gt;"),
        ("&lt;", "&amp;lt;"),
        ("[click](javascript:x)", "\\[click\\](javascript:x)"),
        ("one\n\n# two", "one # two"),
        ("`code`", "\\`code\\`"),
        ("test/answer/accuracy ± 0.1", "test/answer/accuracy ± 0.1"),
    ],
)
def test_markdown_shows_text_as_it_is(text, shown):
    assert markdown_text(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mmbert-train seed=1", "`mmbert-train seed=1`"),
        ("a`b", "``a`b``"),
        ("`a", "`` `a ``"),
        ("a|b", "`a\\|b`"),
        ("a\n\nb", "`a b`"),
    ],
)
def test_code_does_not_end_where_it_holds_a_backtick(text, shown):
    assert markdown_code(text) == shown
