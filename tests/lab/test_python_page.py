"""docs/how-to/python.md runs as it stands, from top to bottom, as a script of its reader; and the README's part of it."""

import re
from pathlib import Path
from typing import Any

import pytest

import molbuffer as mb
from molbuffer.flows import settings
from molbuffer.lab import given

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_about_python_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs/how-to/python.md").read_text()
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE))
    assert len(blocks) > 12
    # One text with the lines where they stand in the page, so that a traceback names them.
    lines = [""] * page.count("\n")
    for block in blocks:
        first = page.count("\n", 0, block.start(1))
        lines[first : first + block[1].count("\n")] = block[1].splitlines()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOLBUFFER_CACHE", str(tmp_path / "cache"))
    names: dict[str, object] = {"__name__": "page"}
    exec(compile("\n".join(lines), "docs/how-to/python.md", "exec"), names)

    with mb.open(tmp_path / "lab", read_only=True) as lab:
        assert set(lab.runs()["status"]) == {"finished"}
        assert {"notebook", "own loss", "own sampler", "own model", "offline", "score"} <= set(lab.runs()["name"])
    assert names["lines"][0] == "32/32"  # type: ignore[index]
    assert names["result"].iterations == 6  # type: ignore[attr-defined]
    assert len(names["frame"]) > 100  # type: ignore[arg-type]


SMALLER = {"n=256": "n=16", "batch_size=64": "batch_size=8", "iterations=50": "iterations=2"}
"""The README's sizes are those of real work."""


def test_what_the_readme_shows_of_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    (code,) = (block for block in blocks if block.startswith("import molbuffer as mb"))
    for full, small in SMALLER.items():
        assert full in code
        code = code.replace(full, small)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOLBUFFER_CACHE", str(tmp_path / "cache"))
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["lab"].runs()["status"].to_list() == ["finished"]
    names["lab"].close()


def test_both_pages_list_what_may_change_in_a_run_that_is_gone_on_with() -> None:
    readme = (ROOT / "README.md").read_text().partition("**A finished run is extended**")[2].partition("**A warm")[0]
    for key in settings.MAY_CHANGE:
        assert f"{key.rpartition('.')[2]}`" in readme, key
    assert ".py)" not in readme
    page = (ROOT / "docs/how-to/python.md").read_text().partition("### Going on")[2].partition("### Progress")[0]
    for key in given.MAY_CHANGE:
        assert f"`{key.rpartition('.')[2]}`" in page, key
