"""The report in a real browser: what it draws, what a reader can do with it, and that nothing leaves it."""

import time
from pathlib import Path
from types import ModuleType

import pytest

from molbuffer.pages import make_report
from molbuffer.storage import SampleStore

PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def small_page(opened: SampleStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(make_report(opened), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def hostile_page(small: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    with SampleStore.open(small.make_hostile(folder / "store"), read_only=True) as store:
        (folder / "report.html").write_text(make_report(store), encoding="utf-8")
    return folder / "report.html"


@pytest.fixture
def visit(open_visit):
    opened = []

    def open_page(path, **shape):
        opened.append(open_visit(**shape))
        opened[-1].page.goto(path.as_uri())
        return opened[-1]

    yield open_page
    for each in opened:
        each.page.close()


def draw_all(page):
    """As for printing, without scrolling to each chart."""
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    wait_until_drawn(page, "figure.chart")
    return page.locator("figure.chart")


def wait_until_drawn(page, figures):
    """Playwright's own way evaluates texts, which the policy of the page forbids."""
    end = time.monotonic() + PATIENCE_SECONDS
    undrawn = page.locator(f"{figures}:not([data-drawn])")
    while undrawn.count():
        assert time.monotonic() < end, undrawn.first.inner_text()
        page.wait_for_timeout(50)


def is_drawn(figure) -> bool:
    """Whether a chart has pixels that its empty place has not."""
    place = figure.locator(".drawing")
    place.scroll_into_view_if_needed()
    drawn = place.screenshot()
    place.evaluate("(place) => { place.firstElementChild.style.visibility = 'hidden' }")
    blank = place.screenshot()
    place.evaluate("(place) => { place.firstElementChild.style.visibility = '' }")
    return len(drawn) > 1.5 * len(blank)


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1600, "light")])
def test_everything_is_drawn_and_nothing_is_asked_for(visit, small_page, width, scheme):
    seen = visit(small_page, width=width, scheme=scheme)
    charts = draw_all(seen.page)
    assert charts.count() > 15
    assert set(charts.evaluate_all("(all) => all.map((each) => each.dataset.drawn)")) == {"yes"}
    # Of each section the first chart, and of the maps, which are canvas.
    for name in ("runs", "learning", "funnel", "samplers", "diversity", "trade-offs", "space"):
        figures = seen.page.locator(f"#{name} figure.chart")
        if figures.count():
            assert is_drawn(figures.first), name
    assert (seen.said, seen.requests) == ([], [small_page.as_uri()])
    assert seen.page.evaluate("document.documentElement.scrollWidth") == width
    too_wide = "(all) => all.filter((each) => each.getBoundingClientRect().right > innerWidth + 1).length"
    assert seen.page.locator(".drawing svg, .drawing canvas, .card, h2, p").evaluate_all(too_wide) == 0


def test_tables_sort_and_filter(visit, small_page):
    page = visit(small_page).page
    column = (
        "(table, at) => [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[at].innerText)"
    )
    runs = page.locator("#runs table").first
    drawn = runs.get_by_role("button", name="drawn")
    drawn.click()
    assert runs.evaluate(column, 8) == ["10", "2", "2"]
    assert runs.locator("th[aria-sort=descending]").inner_text().startswith("drawn")
    drawn.press("Enter")
    assert runs.evaluate(column, 8) == ["2", "2", "10"]
    # Text goes up first, and empty cells are last in either order.
    runs.get_by_role("button", name="calls").click()
    assert runs.evaluate(column, 10) == ["5", "2", ""]
    runs.get_by_role("button", name="calls").click()
    assert runs.evaluate(column, 10) == ["2", "5", ""]


def test_a_filter_leaves_the_rows_that_have_the_text(visit, hostile_page):
    page = visit(hostile_page).page
    place = page.locator("#molecules .table").first
    every = place.locator("tbody tr").count()
    place.get_by_label("Filter").fill("CCCCCO")
    left = place.locator("tbody tr:visible").count()
    assert 0 < left < every
    assert place.get_by_role("status").inner_text() == f"{left} of {every} rows"
    place.get_by_label("Filter").fill("")
    assert place.locator("tbody tr:visible").count() == every


def test_a_keyboard_reaches_everything(visit, small_page):
    page = visit(small_page).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    names = page.locator(".drawing").evaluate_all("(all) => all.map((each) => each.getAttribute('aria-label'))")
    assert all(names)
    page.get_by_role("button", name="Dark ground").press("Enter")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 28)"
    assert page.get_by_role("button", name="Light ground").count() == 1


def test_a_reader_chooses_which_components_are_traded_off(visit, hostile_page):
    seen = visit(hostile_page)
    figure = seen.page.locator("#trade-offs figure.chart").first
    figure.scroll_into_view_if_needed()
    wait_until_drawn(seen.page, "#trade-offs figure.chart")
    before = figure.locator(".drawing").screenshot()
    choice = figure.get_by_label("Show")
    # Each two of six: the transform of the first one cannot be read.
    assert choice.locator("option").count() == 15
    choice.select_option(index=5)
    seen.page.wait_for_timeout(400)
    assert figure.locator(".drawing").screenshot() != before
    assert seen.said == []


@pytest.mark.parametrize("width", [400, 1600])
def test_hostile_texts_are_shown_as_text(visit, hostile_page, small, width):
    seen = visit(hostile_page, width=width)
    draw_all(seen.page)
    page = seen.page
    assert page.evaluate("window.hacked") is None
    assert (seen.said, seen.dialogs, seen.requests) == ([], [], [hostile_page.as_uri()])
    # Three script elements of ours, no element of theirs.
    assert page.locator("script").count() == 3
    assert page.locator("main img, main iframe, main [onload], main [onerror], main b").count() == 0
    content = page.inner_text("#molecules")
    for text in small.HOSTILE[:5]:
        assert text in content
    assert f"({len(small.HOSTILE[6]):,} characters)" in content
    assert page.evaluate("document.documentElement.scrollWidth") == width
