"""The writer of a report as one HTML file: the template with the style, the scripts and the data inside.

The page makes no network requests: a content security policy in its head forbids them, and allows only its own scripts,
by their hashes. Vega's expressions are interpreted, not compiled, so that no text of the data can become code. All
texts from a store are escaped by the template, or as JSON without ``<``.
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
"""The global name of the Vega bundle that a page uses."""
_POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)


def write_html(title: str, facts: Sequence[tuple[str, str]], sections: Sequence[Section], made: datetime) -> str:
    """Return the HTML page of a report.

    Args:
        title: the title of the report.
        facts: the facts at its top, as (title, text): the store, its snapshot, the runs.
        sections: the sections, in the order of the page.
        made: the time at which the report was made, in UTC.
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
    """Return a sentence as HTML, in which text between backticks and options of commands are code."""
    parts = _IN_SENTENCES.split(text)
    # Every second part is a match.
    marked = [
        Markup("<code>{}</code>").format(part.strip("`")) if at % 2 else escape(part) for at, part in enumerate(parts)
    ]
    return Markup("").join(marked)


_IN_SENTENCES = re.compile(r"(`[^`\n]{1,40}`|(?<![\w-])--[a-z][a-z-]{1,30})")


def json_in_html(value: Any) -> str:
    """Return a value as JSON that is safe inside a script element: no text in it can end or begin an element."""
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
    # The first of these texts would end the script element, and after the second it would not end where it should.
    return bundle.replace("</script", "<\\/script").replace("<!--", "\\x3c!--")
