"""The reference of the configuration, made of its schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pieces import code, table

INTRODUCTION = """# The configuration

A campaign is a TOML file. `molbuffer config check FILE` reports every problem of one with its line, `molbuffer config
schema` prints what this page is made of as a JSON schema, for editors, and `molbuffer config example` the same keys
as a file:

??? example "The whole example"

    ```toml
{example}
    ```

Keys without a default are required. A relative path starts at the folder of the file. Below, the tables come in the
order of a file, and then the kinds, of which a key names one with its keys: `transform = {{ kind = "sigmoid", low =
0, high = 1 }}`.
"""
FAMILIES = {
    "components": "Components of `[objective]`",
    "transforms": "Transforms of components",
    "choices": "Choices: `choose` of `[objective]`",
    "filters": "Filters: `[[filters]]`",
    "samplers": "Samplers: `[[samplers]]`",
    "selections": "Selections of `[buffer]` and `[offline]`",
    "losses": "Losses of `[training]` and `[offline]`",
    "surrogates": "Models of `[screening]`",
    "acquisitions": "Acquisitions of `[screening]`",
}
"""The titles of families that a configuration names kinds of."""

Schema = Mapping[str, Any]


def page() -> str:
    """Return the page."""
    from molbuffer.flows.cli.configurations.config import example_text
    from molbuffer.flows.settings import settings_schema

    schema = settings_schema()
    example = "\n".join(f"    {line}".rstrip() for line in example_text().splitlines())
    parts = [INTRODUCTION.format(example=example)]
    for name, key in schema["properties"].items():
        parts += _section(name, key, schema)
    parts += _families(schema)
    return "\n".join(parts)


def undescribed() -> list[str]:
    """Return the keys that the schema does not describe."""
    from molbuffer.flows.settings import settings_schema

    schema = settings_schema()
    return [
        f"{name}.{key}"
        for name, model in schema["$defs"].items()
        for key, value in model.get("properties", {}).items()
        if key != "kind" and not _text(value)
    ]


def _section(name: str, key: Schema, schema: Schema) -> Iterator[str]:
    is_list = key.get("type") == "array"
    yield f"## {code(f'[[{name}]]' if is_list else f'[{name}]')}\n"
    model = _model(key, schema)
    yield _text(key) or _text(model or {})
    yield ""
    if model is not None:
        yield from _keys(model, schema)
    else:
        yield "Its keys are those of its `kind`, below.\n"


def _families(schema: Schema) -> Iterator[str]:
    from molbuffer.flows.cli.configurations.kinds import families

    found = _kinds(schema)
    for family in families():
        if family.name not in FAMILIES:
            continue
        yield f"## {FAMILIES[family.name]}\n"
        tables = found[family.name]
        for kind in sorted(tables):
            yield f"### {code(kind)}\n"
            yield _text(tables[kind]).split("\n\n")[0]
            yield ""
            yield from _keys(tables[kind], schema)


def _kinds(schema: Schema) -> dict[str, dict[str, Schema]]:
    """Return the tables of the kinds of each family, as they stand at the first place that names them."""
    from molbuffer.flows.cli.configurations.kinds import families

    places = list(_discriminators(schema))
    found: dict[str, dict[str, Schema]] = {}
    for family in families():
        own = {name for name, kind in family.kinds.items() if kind.is_own}
        for mapping in places:
            if own <= set(mapping) and set(mapping) <= {*family.kinds, "python"}:
                found[family.name] = {name: _of_mapping(mapping[name], schema) for name in own}
                break
    return found


def _discriminators(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        if isinstance(value.get("discriminator"), Mapping):
            yield value["discriminator"]["mapping"]
        for each in value.values():
            yield from _discriminators(each)
    elif isinstance(value, list):
        for each in value:
            yield from _discriminators(each)


def _of_mapping(reference: Any, schema: Schema) -> Schema:
    if isinstance(reference, Mapping):
        reference = reference["oneOf"][0]["$ref"]
    found: Schema = schema["$defs"][reference.rsplit("/", 1)[1]]
    return found


def _model(key: Schema, schema: Schema) -> Schema | None:
    """Return the table that a key, or a list, is of; None for one of several kinds."""
    for each in (key, key.get("items", {}), *key.get("anyOf", ())):
        if "$ref" in each:
            return _of_mapping(each["$ref"], schema)
    return None


def _keys(model: Schema, schema: Schema) -> Iterator[str]:
    required = model.get("required", ())
    rows = []
    for key, value in model.get("properties", {}).items():
        if key == "kind":
            continue
        default = "*required*" if key in required else _default(value)
        rows.append([code(key), _type(value, schema), default, _text(value)])
    yield table(["key", "value", "default", ""], rows) + "\n" if rows else "It has no keys.\n"
    for key, value in model.get("properties", {}).items():
        below = _model(value, schema)
        if below is not None and "properties" in below:
            yield f"The table {code(key)}: {_text(below)}\n"
            yield from _keys(below, schema)


def _text(value: Schema) -> str:
    return str(value.get("description", "")).replace("``", "`").strip()


def _default(value: Schema) -> str:
    if value.get("default") is None or (isinstance(value["default"], dict | list) and not value["default"]):
        return ""
    return code(json.dumps(value["default"], ensure_ascii=False))


def _type(value: Schema, schema: Schema) -> str:
    if "enum" in value:
        return ", ".join(code(json.dumps(each)) for each in value["enum"])
    if "const" in value:
        return code(json.dumps(value["const"]))
    if "anyOf" in value or "oneOf" in value:
        parts = [_type(each, schema) for each in value.get("anyOf", value.get("oneOf", ())) if each != {"type": "null"}]
        return " or ".join(dict.fromkeys(part for part in parts if part != "table")) or "a table with `kind`"
    if "$ref" in value:
        found = _of_mapping(value["$ref"], schema)
        return _type(found, schema) if "enum" in found else "a table"
    return _simple(value, schema)


def _simple(value: Schema, schema: Schema) -> str:
    kind = value.get("type")
    if kind == "array":
        item = value.get("items", {})
        return f"list of {_type(item, schema)}" if item else "list"
    words = {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "true or false",
        "object": "table",
    }
    bounds = [
        f"{sign} {value[key]}"
        for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
        if key in value and abs(value[key]) < 1e18
    ]
    return " ".join([words.get(str(kind), "a value"), *bounds])
