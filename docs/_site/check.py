"""Checks of the built site: links, pictures and anchors lead somewhere, and nothing comes from elsewhere.

The generator checks links between pages. It says nothing of pictures that are missing, pages that no navigation has,
and what a page would fetch from another host.
"""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_FETCHED = {
    ("script", "src"),
    ("img", "src"),
    ("link", "href"),
    ("source", "src"),
    ("source", "srcset"),
    ("iframe", "src"),
}
"""What a browser fetches without being asked to."""


class _Page(HTMLParser):
    """The addresses and anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[tuple[str, str, str]] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value is not None}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "link" and given.get("rel") in ("canonical", "next", "prev"):
            return
        self.links += [(tag, name, given[name]) for name in ("href", "src", "srcset") if name in given]


def problems(site: Path) -> Iterator[str]:
    """Yield what is wrong with a built site, a sentence each."""
    pages = {file: _Page(file.read_text(encoding="utf-8")) for file in sorted(site.rglob("*.html"))}
    reached = {site / "404.html", site / "index.html"}
    for file, page in pages.items():
        here = file.relative_to(site)
        for tag, attribute, address in page.links:
            parts = urlsplit(address)
            if parts.scheme in ("mailto", "data", "javascript"):
                continue
            if parts.scheme or parts.netloc:
                if (tag, attribute) in _FETCHED:
                    yield f"{here}: <{tag}> fetches {address} from elsewhere"
                continue
            target = file if not parts.path else (file.parent / unquote(parts.path)).resolve()
            if file.name == "404.html" and parts.path.startswith("/"):
                target = site / parts.path.lstrip("/")
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                yield f"{here}: {address} leads nowhere"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{here}: {address} has no such anchor"
            if file != target:
                reached.add(target)
    for file in pages:
        if file not in reached:
            yield f"{file.relative_to(site)}: no page links to it"
    for file in sorted(site.rglob("*.css")):
        text = file.read_text(encoding="utf-8")
        if "url(http" in text or "url(//" in text or "@import" in text:
            yield f"{file.relative_to(site)}: fetches something from elsewhere"
