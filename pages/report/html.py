"""Writing a report as one HTML file: the template with the style, the scripts and the data inside.

No request leaves the page: a policy in its head forbids each, and allows exactly the scripts that are in it, by their
hashes. Vega's expressions are interpreted, and not compiled, so that no text of the data can become code. Whatever
comes from a store is escaped by the template, or as JSON in which no ``<`` is left.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from molbuffer.pages.report.blocks import Charts, Section

_GLOBALS = "window.vegaEmbed = vegaEmbed;"
"""What a page uses of the script."""
_POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)


def write_html(title: str, facts: Sequence[tuple[str, str]], sections: Sequence[Section], made: datetime) -> str:
    """Return the page.

    Args:
        title: of the report.
        facts: what the report is of, as (title, text): the store, its snapshot, the runs.
        sections: in the order of the page.
        made: when, in UTC.
    """
    charts = [
        chart.as_json()
        for section in sections
        for block in section.blocks
        if isinstance(block, Charts)
        for chart in block.drawn
    ]
    own = _text("page.js")
    scripts = [_vega(), own] if charts else [own]
    allowed = " ".join(f"'sha256-{_hash(script)}'" for script in scripts)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    numbers = iter(range(len(charts)))
    return environment.from_string(_text("page.html")).render(
        title=title,
        facts=facts,
        sections=sections,
        made=made.strftime("%Y-%m-%d %H:%M UTC"),
        policy=_POLICY.format(scripts=allowed),
        style=Markup(_text("page.css")),  # noqa: S704 (ours, and no data)
        scripts=[Markup(script) for script in scripts],  # noqa: S704 (ours and Vega's, and no data)
        charts=Markup(json_in_html(charts)),  # noqa: S704 (escaped as JSON)
        next_chart=lambda: next(numbers),
        worded=_worded,
        safe_picture=lambda picture: Markup(picture),  # noqa: S704 (drawn by RDKit; its title is escaped)
    )


def _worded(text: str) -> Markup:
    """Return a sentence as HTML: what is between backticks as code, and options of a command never broken."""
    parts = _IN_SENTENCES.split(text)
    # Every second part is a match.
    marked = [
        Markup("<code>{}</code>").format(part.strip("`")) if at % 2 else escape(part) for at, part in enumerate(parts)
    ]
    return Markup("").join(marked)


_IN_SENTENCES = re.compile(r"(`[^`\n]{1,40}`|(?<![\w-])--[a-z][a-z-]{1,30})")


def json_in_html(value: Any) -> str:
    """Return a value as JSON that may stand in a script element: no text in it ends the element, or begins another."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _text(name: str) -> str:
    return files("molbuffer.pages.report").joinpath(name).read_text(encoding="utf-8")


@functools.cache
def _vega() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle(_GLOBALS)
    # An element of scripts ends at the first of these, wherever it is, or reads on beyond its end after the second.
    return bundle.replace("</script", "<\\/script").replace("<!--", "\\x3c!--")
