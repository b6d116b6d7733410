"""Pieces of the page: cells, tables, choices, and that no text becomes code."""

import re

import pytest

from mmbert.reporting.outputs.page import html
from mmbert.reporting.outputs.page.figures import template_text
from mmbert.reporting.outputs.page.html import Cell, Page

FIGURE = {"data": [{"x": ["</script><b>"]}], "layout": {}}


@pytest.mark.parametrize(
    ("cell", "left", "expected"),
    [
        (Cell("0.5 ± 0.1", 0.5), False, '<td data-value="0.5">0.5 ± 0.1</td>'),
        (Cell("a<b"), True, '<td data-value="" class="word">a&lt;b</td>'),
        (Cell("–", float("nan")), False, '<td data-value="">–</td>'),
        (Cell("x" * 61, code=True), True, f'<td data-value="" class="word long"><code>{"x" * 61}</code></td>'),
    ],
)
def test_a_cell(cell, left, expected):
    assert html.cell_html(cell, left) == expected


def test_tables_are_numbered_and_columns_of_code_stand_left():
    page = Page("p")
    first = page.table(["", "n", "command"], [[Cell("a"), Cell("3", 3), Cell("run", code=True)]])
    assert re.findall(r"<th scope=\"col\"( class=word)?>", first) == [" class=word", "", " class=word"]
    assert "&nbsp;" in first and 'id="table-1"' in first
    second = page.table(["a"], [], filtered=True)
    assert 'id="table-2"' in second and 'data-table="table-2"' in second


def test_plots_are_numbered_and_empty_ones_left_out():
    page = Page("p")
    assert page.plot(None) == page.plot({"data": [], "layout": {}}) == ""
    assert 'data-figure="figure-0"' in page.plot(FIGURE, "a < b")
    assert '<figcaption>a &lt; b</figcaption><div class="plot tall" data-figure="figure-1"' in page.plot(
        FIGURE, "a < b", tall=True
    )
    assert page.captions == ["a < b"] * 2


def test_of_several_parts_the_first_is_shown():
    assert html.choice("gate", "of", []) == "" and html.choice("gate", "of", [("a", "<p>")]) == "<p>"
    made = html.choice("gate", "of", [("a", "A"), ('"b"', "B")])
    assert '<div data-choice="gate" data-value="a">A</div>' in made
    assert '<div data-choice="gate" data-value="&quot;b&quot;" hidden>B</div>' in made


def test_the_whole_file_has_its_parts_and_no_text_ends_a_script(monkeypatch):
    monkeypatch.setattr(html, "plotly_code", lambda: "PLOTLY")
    page = Page("A & B")
    page.add("one", "One <", "content", "")
    page.add("none", "None", "", "")
    page.plot(FIGURE)
    text = page.html("the <end>")
    assert "<title>A &amp; B</title>" in text and "<footer>the &lt;end&gt;</footer>" in text
    assert '<section id="one"><h2>One &lt;</h2>content</section>' in text and 'id="none"' not in text
    data = re.search(r'id="figure-0">(.*?)</script>', text)[1]
    assert data == '{"data": [{"x": ["&lt;/script&gt;&lt;b&gt;"]}], "layout": {}}'  # plotly reads entities
    assert html.as_script("</script>") == '"\\u003c/script>"'
    with pytest.raises(ValueError, match="JSON"):
        html.as_script(float("nan"))


def test_names_in_a_figure_are_no_html_for_plotly_and_templates_stay():
    figure = {"data": [{"name": "<a href='x'>", "y": ["<b>"], "hovertemplate": "%{x}<extra></extra>"}], "layout": {}}
    assert html.without_html(figure) == {
        "data": [{"name": "&lt;a href='x'&gt;", "y": ["&lt;b&gt;"], "hovertemplate": "%{x}<extra></extra>"}],
        "layout": {},
    }
    assert template_text("<b>%{x}") == "&lt;b&gt;%\u200b{x}"
