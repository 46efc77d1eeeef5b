"""The order of the pages: that in which the ``index.md`` of their folder links them; others come after, by name.

So a new page is in the site as soon as it is in a folder, and in its place once the index links it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

SECTIONS = {
    "Concepts": "concepts",
    "How to": "how-to",
    "Reference": "reference",
    "Decisions": "design",
}
FIRST, LAST = ("start.md",), ("coming-from.md",)
REFERENCE_AT_ROOT = "glossary.md"

Entry = dict[str, Any]


def navigation(pages: Path) -> list[Entry]:
    """Return the navigation of a folder of pages, as ``nav`` of the configuration has it."""
    sections = {title: _of_folder(pages, folder) for title, folder in SECTIONS.items()}
    sections["Reference"].insert(1, _entry(pages, REFERENCE_AT_ROOT))
    at_root = {"index.md", *FIRST, *LAST, REFERENCE_AT_ROOT}
    sections["How to"] += [_entry(pages, file.name) for file in sorted(pages.glob("*.md")) if file.name not in at_root]
    return [
        {"Home": "index.md"},
        *(_entry(pages, name) for name in FIRST),
        *({title: entries} for title, entries in sections.items()),
        *(_entry(pages, name) for name in LAST),
    ]


def title_of(file: Path) -> str:
    """Return the title of a page, without a number in front of it and without marks."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            return line.removeprefix("# ").replace("`", "").strip()
    raise ValueError(f"{file} has no title: a line that begins with '# '")


def _of_folder(pages: Path, folder: str) -> list[Entry]:
    index = pages / folder / "index.md"
    linked = re.findall(r"\]\(([\w.-]+\.md)", index.read_text(encoding="utf-8"))
    there = {file.name for file in (pages / folder).glob("*.md")} - {"index.md"}
    names = [name for name in dict.fromkeys(linked) if name in there]
    rest = sorted(there - set(names))
    return [{"Overview": f"{folder}/index.md"}, *(_entry(pages, f"{folder}/{name}") for name in [*names, *rest])]


def _entry(pages: Path, name: str) -> Entry:
    return {title_of(pages / name): name}
