"""The site as it is built: whole, strict, and without a request to another host."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import check
import navigation
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    out = tmp_path_factory.mktemp("docs")
    assert main_module().build(out) == []
    return out / "site"


def main_module() -> ModuleType:
    """The script that ``make docs`` runs."""
    spec = importlib.util.spec_from_file_location("docs_site_main", ROOT / "docs" / "_site" / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_site_has_every_page_and_nothing_is_wrong_with_it(site: Path) -> None:
    pages = {page.relative_to(ROOT / "docs").with_suffix(".html") for page in (ROOT / "docs").rglob("*.md")}
    built = {page.relative_to(site) for page in site.rglob("*.html")}
    assert pages <= built
    for name in ("cli", "configuration", "python", "tables", "metrics", "examples", "policies", "changelog"):
        assert Path(f"reference/{name}.html") in built
    assert "sample_history" in (site / "search.json").read_text()
    assert json.loads((site / "search.json").read_text())


def test_the_pictures_are_part_of_their_pages_with_the_colours_of_the_page(site: Path) -> None:
    for page in ("index", "concepts/events", "concepts/mix", "concepts/store", "concepts/snapshots"):
        text = (site / f"{page}.html").read_text()
        assert re.search(r'<div class="picture"[^>]*><svg .*?</svg></div>', text, re.DOTALL), page
        assert "prefers-color-scheme: dark) {" not in text


def test_the_search_works_in_pages_that_are_opened_from_a_disk(site: Path, open_visit) -> None:
    visit = open_visit(width=400)
    visit.page.goto((site / "how-to" / "pmo.html").as_uri())
    visit.page.keyboard.press("/")
    box = visit.page.get_by_role("combobox", name="Search")
    box.press_sequentially("screening")
    found = visit.page.get_by_role("option", name="mb.Screening")
    found.wait_for()
    assert box.input_value() == "screening"
    assert "/reference/python.html" in found.get_attribute("href")
    assert {url.partition(":")[0] for url in visit.requests} <= {"file", "data"}
    assert (visit.errors, visit.failed) == ([], [])
    visit.page.close()


def test_what_the_generator_does_not_check_is_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<a href="gone.html">x</a><img src="gone.svg"><a href="page.html#no">y</a>'
        '<script src="https://cdn.example/x.js"></script><a href="https://good.example/">z</a>'
    )
    (tmp_path / "page.html").write_text("<p>page</p>")
    (tmp_path / "alone.html").write_text("<p>alone</p>")
    (tmp_path / "fonts.css").write_text("@import url(https://fonts.example/x);")
    assert list(check.problems(tmp_path)) == [
        "index.html: gone.html leads nowhere",
        "index.html: gone.svg leads nowhere",
        "index.html: page.html#no has no such anchor",
        "index.html: <script> fetches https://cdn.example/x.js from elsewhere",
        "alone.html: no page links to it",
        "fonts.css: fetches something from elsewhere",
    ]


def test_pages_come_in_the_order_of_their_index_and_new_ones_after_them(tmp_path: Path) -> None:
    for folder in ("concepts", "how-to", "reference", "design"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "index.md").write_text("# I\n[two](two.md), [one](one.md), [gone](gone.md)")
        for name in ("one", "two", "new"):
            (tmp_path / folder / f"{name}.md").write_text(f"# `{name}` page")
    for name in ("index", "start", "glossary", "coming-from", "report"):
        (tmp_path / f"{name}.md").write_text(f"# {name}")
    found = {title: entry for each in navigation.navigation(tmp_path) for title, entry in each.items()}
    assert list(found) == ["Home", "start", "Concepts", "How to", "Reference", "Decisions", "coming-from"]
    assert [*map(list, found["Concepts"])] == [["Overview"], ["two page"], ["one page"], ["new page"]]
    assert found["How to"][-1] == {"report": "report.md"}
    assert found["Reference"][1] == {"glossary": "glossary.md"}
