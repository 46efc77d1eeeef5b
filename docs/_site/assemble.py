"""The pages of the site in one folder: those of ``docs/``, and those that are made of the code."""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import cli_reference
import python_reference
import settings_reference
import store_reference
import verbatim

DOCS = Path(__file__).resolve().parents[1]

GENERATED: Mapping[str, Callable[[], str]] = {
    "reference/cli.md": cli_reference.page,
    "reference/configuration.md": settings_reference.page,
    "reference/python.md": python_reference.page,
    "reference/tables.md": store_reference.tables_page,
    "reference/metrics.md": store_reference.metrics_page,
    "reference/examples.md": verbatim.examples_page,
    "reference/policies.md": verbatim.policies_page,
    "reference/changelog.md": verbatim.changelog_page,
    "design/index.md": verbatim.decisions_page,
}
"""The pages that are made of the code, by their place in the site; none of them is in the repository."""


def assemble(folder: Path) -> None:
    """Write all pages, pictures and style sheets to a folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DOCS, folder, ignore=shutil.ignore_patterns("_*"))
    for place, make in GENERATED.items():
        file = folder / place
        if file.exists():
            raise FileExistsError(f"{file} is made of the code; remove docs/{place}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(make(), encoding="utf-8")
    for file in folder.rglob("*.md"):
        text = file.read_text(encoding="utf-8")
        file.write_text(_PICTURE.sub(lambda found, file=file: _drawn(found, file), text), encoding="utf-8")


_PICTURE = re.compile(r"^!\[([^\]]*)\]\(([^)]*images/[\w-]+\.svg)\)$", re.MULTILINE)


def _drawn(found: re.Match[str], page: Path) -> str:
    """Return a picture as part of the page, which then has the colours of the page, light or dark.

    Its own colours, which follow the system of the reader, are for where it is shown by itself.
    """
    drawing = (page.parent / found[2]).read_text(encoding="utf-8")
    plain = re.sub(r"\s*<style>.*?</style>", "", drawing, flags=re.DOTALL)
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    return f'<div class="picture" title="{html.escape(found[1])}">{"".join(lines)}</div>'
