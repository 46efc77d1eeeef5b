"""The reference of Python, made of docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from griffe import Docstring, DocstringSectionKind
from pieces import code, table

INTRODUCTION = """# Python

All names of `import molbuffer as mb`, in the order of the alphabet. [molbuffer from Python](../how-to/python.md)
leads from one to the next. The rooms `molbuffer.samplers`, `molbuffer.scoring`, `molbuffer.storage` and
`molbuffer.training` have more, with docstrings of the same form. Examples run as tests, with `lab` an open store and
`objective` a mean of drug-likeness.
"""


def names() -> list[str]:
    """Return the public names."""
    import molbuffer

    return list(molbuffer.__all__)


def page() -> str:
    """Return the page."""
    import molbuffer

    return "\n".join([INTRODUCTION, *(part for name in names() for part in _entry(name, getattr(molbuffer, name)))])


def _entry(name: str, value: Any) -> Iterator[str]:
    yield f"## {code(f'mb.{name}')}\n"
    yield f"```text\n{_signature(name, value)}\n```\n"
    yield from _docstring(inspect.getdoc(value) or "")
    if inspect.isclass(value) and not _is_dataclass_like(value):
        for member, function in vars(value).items():
            function = getattr(function, "__func__", function)
            if member.startswith("_") or not callable(function) or not inspect.getdoc(function):
                continue
            yield f"### {code(f'{name}.{member}')}\n"
            yield f"```text\n{_signature(member, function)}\n```\n"
            yield from _docstring(inspect.getdoc(function) or "")


def _is_dataclass_like(value: type) -> bool:
    return hasattr(value, "__dataclass_fields__") and value.__name__ not in ("Policy", "StoredBatches")


def _signature(name: str, value: Any) -> str:
    try:
        shown = str(inspect.signature(value))
    except (TypeError, ValueError):
        return name
    if getattr(value, "_is_protocol", False):
        return f"protocol {name}"
    # Annotations are for tools; what is wanted is names and defaults.
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(value).parameters.values()
        if parameter.name != "self"
    ]
    shown = str(inspect.Signature(parameters))
    return re.sub(r"<([\w.]+) object at 0x[0-9a-f]+>", r"\1(...)", name + shown)


def _docstring(text: str) -> Iterator[str]:
    for section in Docstring(text).parse("google", warnings=False):
        if section.kind is DocstringSectionKind.text:
            yield _prose(section.value) + "\n"
        elif section.kind is DocstringSectionKind.examples:
            yield "".join(_example(kind, value) for kind, value in section.value)
        elif section.kind in _LISTS:
            yield f"**{_LISTS[section.kind]}**\n"
            rows = [[_name(each), _prose(each.description)] for each in section.value]
            yield table(["name", ""], rows) + "\n"
        elif section.kind in (DocstringSectionKind.returns, DocstringSectionKind.yields):
            yield "**Returns** " + " ".join(_prose(each.description) for each in section.value) + "\n"
        elif section.kind is DocstringSectionKind.admonition:
            text = section.value.description
            yield (f"```pycon\n{text}\n```\n" if ">>>" in text else _prose(text) + "\n")


_LISTS = {
    DocstringSectionKind.parameters: "Arguments",
    DocstringSectionKind.attributes: "Attributes",
    DocstringSectionKind.raises: "Raises",
}


def _name(item: Any) -> str:
    return code(getattr(item, "name", None) or item.annotation)


def _prose(text: str) -> str:
    return text.replace("``", "`").replace("{", "&#123;")


def _example(kind: Any, text: str) -> str:
    return f"```pycon\n{text}\n```\n" if kind is DocstringSectionKind.examples else text + "\n"
