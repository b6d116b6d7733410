"""The page in a real browser: no complaints, tables and plots that answer, sounds that play, on laptop and phone.

Needs playwright and a Chromium on the machine, which not every machine has: then these are skipped.
"""

import shutil

import pytest

from mmbert.reporting.collect import collect
from mmbert.reporting.outputs.page.build import html_page
from mmbert.reporting.report import make_report

playwright = pytest.importorskip("playwright.sync_api")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")

LAPTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = driver.chromium.launch(executable_path=BROWSER, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(illustrated, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html_page(make_report(collect([illustrated / "runs"]))), encoding="utf-8")
    return path


@pytest.fixture
def visit(browser, file):
    """``visit(size, scheme)``: the page, opened without a network; what it complains of fails the test."""
    opened, complaints = [], []

    def go(size=LAPTOP, scheme="light"):
        context = browser.new_context(viewport=size, color_scheme=scheme, offline=True)
        opened.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda r: complaints.append(r.url) if r.url.startswith("http") else None)
        tab.goto(file.as_uri())
        tab.wait_for_selector(".plot .main-svg")
        return tab

    yield go
    for context in opened:
        context.close()
    assert complaints == []


def rows(tab, table):
    return [row.inner_text() for row in tab.locator(f"#{table} tbody tr").all() if row.is_visible()]


def test_a_filter_and_a_head_change_the_table(visit):
    tab = visit()
    table = tab.locator("#runs table").get_attribute("id")
    assert len(rows(tab, table)) == 6
    tab.locator("#runs input").fill("MEAN finished")
    assert len(rows(tab, table)) == 3
    assert "3 of 6" in tab.locator("#runs .filter").inner_text()
    tab.locator("#runs input").fill("no such run")
    assert rows(tab, table) == []
    tab.locator("#runs input").fill("")

    head = tab.locator("#runs th", has_text="test/mood/accuracy")
    shown = lambda: [float(cell.inner_text()) for cell in tab.locator(f"#{table} tbody td:nth-child(5)").all()]  # noqa: E731
    head.click()
    assert shown() == sorted(shown(), reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    head.locator("button").press("Enter")
    assert shown() == sorted(shown())


def test_a_plot_shows_what_is_under_the_pointer(visit):
    tab = visit()
    plot = tab.locator("#summary .plot").first
    plot.scroll_into_view_if_needed()
    tab.wait_for_function("document.querySelector('#summary .plot').data !== undefined")
    box = tab.evaluate(
        """() => { const p = document.querySelector('#summary .plot .scatterlayer .point').getBoundingClientRect();
        return [p.x + p.width / 2, p.y + p.height / 2] }"""
    )
    tab.mouse.move(box[0] - 3, box[1])
    tab.mouse.move(*box)
    tab.wait_for_selector("#summary .plot .hovertext", timeout=5000)
    assert "seed" in (tab.locator("#summary .plot .hovertext").first.text_content() or "")


def test_every_plot_is_drawn_when_it_comes_into_view(visit):
    tab = visit()
    shown = [number for number, place in enumerate(tab.locator(".plot").all()) if place.is_visible()]
    drawn = "n => (document.querySelectorAll('.plot')[n].data || []).length"
    early = sum(tab.evaluate(drawn, number) > 0 for number in shown)
    for number in shown:
        tab.locator(".plot").nth(number).scroll_into_view_if_needed()
        tab.wait_for_function(drawn, arg=number)
    assert early < len(shown)  # plots below the window had waited
    assert all(tab.evaluate(drawn, number) > 0 for number in shown)


def test_another_group_can_be_chosen(visit):
    tab = visit()
    tab.locator("#classes select").select_option("mean")
    assert tab.locator("#classes [data-choice]:visible").count() == 1
    tab.wait_for_function("document.querySelector('#classes [data-choice]:not([hidden]) .plot').data !== undefined")


def test_a_sound_plays(visit):
    tab = visit()
    tab.locator("#samples audio").first.scroll_into_view_if_needed()
    tab.evaluate("() => document.querySelector('#samples audio').play()")
    tab.wait_for_function("() => document.querySelector('#samples audio').currentTime > 0.05", timeout=10_000)
    assert tab.evaluate("() => document.querySelector('#samples audio').error") is None
    assert tab.evaluate("() => document.querySelector('#samples audio').duration") > 0.05


def test_code_in_a_text_did_not_run(visit):
    assert visit().title() == "my_study"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_nothing_is_wider_than_the_window(visit, size, scheme):
    tab = visit(size, scheme)
    width = tab.evaluate("() => document.documentElement.scrollWidth")
    assert width <= size["width"]
    assert tab.evaluate("() => document.documentElement.dataset.theme") == scheme
    tab.locator("button.theme").click()
    assert tab.evaluate("() => document.documentElement.dataset.theme") != scheme
