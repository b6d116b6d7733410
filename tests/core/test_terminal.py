"""What is printed is text: no markup, no emoji, no escape sequence, in lines, cells and titles."""

import io

from rich.table import Table

from mmbert.core.errors import DataError
from mmbert.core.terminal import PlainConsole


def printed(*things, **options):
    file = io.StringIO()
    PlainConsole(file=file, width=80, **options).print(*things)
    return file.getvalue()


def test_a_line_is_shown_as_it_is():
    assert printed("[/b] :smile: [red]a[/] \x1b[2J\x9b") == "[/b] :smile: [red]a[/] \\x1b[2J\\x9b\n"


def test_so_are_cells_heads_and_titles():
    table = Table("he\x1bad", title="ti\x1btle")
    table.add_row("[/x]\x1b]0;mine\x07")
    shown = printed(table)
    assert "\x1b" not in shown and "\x07" not in shown
    assert "he\\x1bad" in shown and "ti\\x1btle" in shown and "[/x]\\x1b]0;mine\\x07" in shown


def test_markup_is_an_order_where_it_is_asked_for():
    assert printed("[red]a[/]", markup=True) == "a\n"


def test_messages_hold_no_order_to_the_terminal():
    assert str(DataError("row 1: 'a\x1b[31m' is\nno file")) == "row 1: 'a\\x1b[31m' is\nno file"
