"""The explorer in a real browser, served as users serve it: what a reader does, and that nothing leaves it.

The store is hostile, and is written to meanwhile. It is served beyond loopback, so that it demands a token.
"""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from playwright import sync_api
from playwright.sync_api import expect

from molbuffer.storage import Commit, SampleStore

PATIENCE_SECONDS = 300
BIN = Path(sys.executable).parent / "molbuffer"


@pytest.fixture(scope="module")
def store(small, tmp_path_factory):
    return small.make_hostile(tmp_path_factory.mktemp("explored") / "store")


def group_is_there(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def address(store):
    """Where the explorer is served, until Ctrl-C ends it and all that it started."""
    words = [BIN, "explore", "--store", store, "--host", "0.0.0.0", "--token", "only-for-readers"]
    served = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        first = served.stdout.readline()
        assert first, served.stderr.read()
        yield re.sub(r"//[^:]+:", "//127.0.0.1:", first.strip())
        served.send_signal(signal.SIGINT)
        assert (served.wait(PATIENCE_SECONDS), "Traceback" in served.stderr.read()) == (130, False)
        # Of its group, which its children are in, nobody is left.
        end = time.monotonic() + PATIENCE_SECONDS
        while group_is_there(served.pid):
            assert time.monotonic() < end, "a process that explore started is left"
            time.sleep(0.1)
    finally:
        served.kill()
        served.wait()
        served.stdout.close()
        served.stderr.close()


def outside(visit):
    """What a page asked for beyond this machine."""
    return [url for url in visit.requests if not re.match(r"(http|ws)://127\.0\.0\.1:|data:|blob:", url)]


def wait_for(page, text):
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := page.get_by_text(text)).count() or not found.first.is_visible():
        shown = page.locator(".mb-note, .mb-error").all_inner_texts()
        assert time.monotonic() < end, f"{text!r} is not there, but {shown}"
        page.wait_for_timeout(50)


def open_tab(page, name):
    page.get_by_role("tab", name=name, exact=True).click()


def click_until(click, shown):
    """Click until something is shown: a page that is being told of changes may replace a button under the click."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        with suppress(sync_api.TimeoutError):
            click()
            return shown.wait_for(timeout=20_000)
        assert time.monotonic() < end, f"{shown} does not come"


def open_molecule(page, number):
    button = page.get_by_role("button", name=f"Open {number}", exact=True).first
    click_until(lambda: button.click(timeout=20_000), page.get_by_text("All scores of the molecule"))


def wait_for_cards(page, number, part=""):
    """Until as many cards are there, or as many parts of cards.

    A page is told of one change after the other: a title may be there before the cards that it counts.
    """
    expect(page.locator(f".mb-card {part}".strip())).to_have_count(number, timeout=1000 * PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def visit(open_visit):
    visit = open_visit()
    yield visit
    visit.page.close()


@pytest.fixture
def seen(visit, address):
    """The page, opened anew: nothing of what another test has chosen is left."""
    visit.page.goto(address)
    title = visit.page.get_by_text(re.compile(r"^Molecules 1 to (\d+) of \1\.$"))
    title.wait_for()
    visit.total = int(re.search(r"\d+(?=\.)", title.inner_text())[0])
    wait_for_cards(visit.page, visit.total)
    return visit


def test_who_has_no_token_sees_nothing(open_visit, address):
    page = open_visit().page
    page.goto(address.partition("?")[0])
    assert "/auth/login" in page.url and page.locator(".mb-card").count() == 0
    page.close()


def test_a_condition_filters_and_a_wrong_one_is_an_error(seen):
    where = seen.page.get_by_label("Condition in SQL")
    where.fill("smiles LIKE 'C%' AND smiles NOT LIKE 'CCCCC%'")
    where.press("Enter")
    wait_for(seen.page, "Molecules 1 to 3 of 3, filtered by")
    wait_for_cards(seen.page, 3, "svg")
    where.fill("no_such_column = 1")
    where.press("Enter")
    seen.page.get_by_role("alert").filter(has_text="no_such_column").wait_for()
    where.fill("")
    where.press("Enter")
    wait_for(seen.page, f"Molecules 1 to {seen.total} of {seen.total}.")


def test_a_box_that_is_drawn_on_a_chart_filters(seen):
    chart = seen.page.locator("marimo-vega canvas, marimo-vega svg").first
    chart.wait_for()
    chart.scroll_into_view_if_needed()
    place = chart.bounding_box()
    mouse = seen.page.mouse
    # The upper half of the rewards, of all iterations: most molecules are on the axis of the first one.
    mouse.move(place["x"] + place["width"] - 30, place["y"] + 20)
    mouse.down()
    mouse.move(place["x"] + 10, place["y"] + place["height"] / 2, steps=5)
    mouse.up()
    title = seen.page.get_by_text(re.compile(r"Molecules 1 to (\d+) of \1, filtered by reward from 0\."))
    shown = int(re.search(r"of (\d+),", title.inner_text())[1])
    assert 3 <= shown < seen.total
    wait_for_cards(seen.page, shown)
    mouse.click(place["x"] + 60, place["y"] + place["height"] - 70)
    wait_for(seen.page, f"Molecules 1 to {seen.total} of {seen.total}.")


def test_what_is_selected_is_exported(seen):
    seen.page.get_by_role("checkbox").first.click()
    wait_for(seen.page, "Export the 1 selected:")
    seen.page.get_by_role("checkbox").nth(2).click()
    wait_for(seen.page, "Export the 2 selected:")
    for kind, expected in (("CSV", "smiles,reward,"), ("SMI", "")):
        with seen.page.expect_download() as download:
            seen.page.get_by_text(kind, exact=True).click()
        text = Path(download.value.path()).read_text()
        assert text.startswith(expected) and download.value.suggested_filename == f"molecules.{kind.lower()}"
    assert len(text.splitlines()) >= 2
    seen.page.get_by_role("button", name="Clear").click()
    wait_for(seen.page, f"None selected. Export all {seen.total}:")


def test_a_molecule_is_opened_and_its_neighbours_lead_on(seen):
    def click_picture():
        # The place of the picture belongs to the button.
        place = seen.page.locator(".mb-card").first.bounding_box(timeout=20_000)
        if place is not None:  # it is hidden once the molecule is shown
            seen.page.mouse.click(place["x"] + place["width"] / 2, place["y"] + 60)

    click_until(click_picture, seen.page.get_by_role("heading", name="Neighbours"))
    seen.page.get_by_text("All scores of the molecule").wait_for()
    open_tab(seen.page, "Molecules")
    # The last one is a molecule that has others like it.
    open_molecule(seen.page, seen.total)
    wait_for(seen.page, "similarity 0.")
    before = seen.page.locator(".mb-molecule .mb-smiles").inner_text()
    seen.page.get_by_role("button", name="Open 1", exact=True).first.click()
    shown = "document.querySelector('.mb-molecule .mb-smiles')?.innerText"
    seen.page.wait_for_function(f"(before) => {shown} && {shown} !== before", arg=before)


def test_runs_are_compared_and_a_live_one_is_followed(seen, store, small):
    open_tab(seen.page, "Runs")
    wait_for(seen.page, "No setting of these runs differs.")
    open_tab(seen.page, "Live")
    wait_for(seen.page, "Newest molecules")
    with SampleStore.open(store) as writer:
        writer.start_run(replace(small.alpha("run-z", 5), name="going-on"))
        writer.commit(Commit([small.build("run-z", 0, ["CCCCCCCCN"], {0: 0.99})]))
        seen.page.get_by_role("option", name=re.compile("going-on")).first.wait_for(state="attached")
    open_tab(seen.page, "Molecules")
    seen.page.locator(".mb-smiles", has_text="CCCCCCCCN").first.wait_for()


def test_the_query_box_answers_and_explains(seen):
    open_tab(seen.page, "Query")
    box = seen.page.get_by_label("One SELECT")
    box.fill("SELECT count(*) AS n FROM runs")
    seen.page.get_by_role("button", name="Run", exact=True).click()
    wait_for(seen.page, "1 row, in")
    box.fill("DELETE FROM runs")
    seen.page.get_by_role("button", name="Run", exact=True).click()
    seen.page.get_by_role("alert").wait_for()


def test_hostile_texts_were_texts_and_nothing_left_the_machine(seen):
    assert (outside(seen), seen.failed, seen.dialogs, seen.errors) == ([], [], [], [])
    assert seen.page.evaluate("window.hacked") is None
    assert seen.page.locator(".mb img, .mb iframe, .mb script, .mb b, .mb [onload]").count() == 0


BEYOND_THE_EDGE = """() => {
  const found = [];
  const look = (root) => { for (const each of root.querySelectorAll("*")) {
    const place = each.getBoundingClientRect();
    const beyond = place.width && place.right > innerWidth + 1;
    const held = each.closest(".mb-scroll") || each.parentElement?.closest("button");
    if (beyond && !held) found.push(each.outerHTML.slice(0, 80));
    if (each.shadowRoot) look(each.shadowRoot);
  } };
  look(document);
  return found;
}"""
"""The elements that a reader of a narrow window cannot get at: the page does not scroll across, but tables do,
and a button cuts its words off."""


def test_a_narrow_dark_window_has_room_for_it(open_visit, address):
    seen = open_visit(width=400, scheme="dark")
    seen.page.goto(address)
    seen.page.locator(".mb-card").first.wait_for()
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 400
    assert seen.page.evaluate(BEYOND_THE_EDGE) == []
    open_tab(seen.page, "Runs")
    wait_for(seen.page, "Results of the runs")
    assert seen.page.evaluate(BEYOND_THE_EDGE) == []
    open_tab(seen.page, "Molecules")
    open_molecule(seen.page, 1)
    assert seen.page.evaluate(BEYOND_THE_EDGE) == []
    expect(seen.page.locator(".mb-card").first).to_have_css(
        "background-color", "rgb(18, 22, 28)", timeout=1000 * PATIENCE_SECONDS
    )
    assert (outside(seen), seen.failed, seen.errors) == ([], [], [])
    seen.page.close()
