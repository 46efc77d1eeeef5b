"""Finding a key's place in the JSON schema of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from molbuffer.flows.settings.toml_lines import KeyPath


def resolve(schema: Mapping[str, Any], path: KeyPath, data: Any) -> Mapping[str, Any]:
    """What the schema says about a key: its properties, allowed values, description; empty for an unknown one.

    Args:
        schema: the JSON schema of the whole configuration.
        path: of the key.
        data: the configuration; its ``kind`` keys tell which of several tables is meant.
    """
    node = _follow(schema, schema, data)
    for part in path:
        node = node.get("items", {}) if isinstance(part, int) else node.get("properties", {}).get(part, {})
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            data = None
        node = _follow(schema, node, data)
    return node


def _follow(schema: Mapping[str, Any], node: Mapping[str, Any], data: Any) -> Mapping[str, Any]:
    """The node behind references, optional values and a choice of tables by kind.

    A description beside a reference says what the key is for, the one behind it what the table is: the first counts.
    """
    while True:
        beside = {name: value for name, value in node.items() if name == "description"}
        kinds = node.get("discriminator", {}).get("mapping", {})
        kind = data.get("kind") if isinstance(data, Mapping) else None
        if "$ref" in node:
            target = schema["$defs"][node["$ref"].rpartition("/")[2]]
        elif "anyOf" in node:
            target = next(option for option in node["anyOf"] if option != {"type": "null"})
        elif isinstance(kind, str) and kind in kinds:
            target = schema["$defs"][kinds[kind].rpartition("/")[2]]
        else:
            return node
        node = {**target, **beside}
