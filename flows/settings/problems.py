"""The problems of a configuration file, as messages from which a user can correct it.

Each problem names the line and the key, the value found, the value expected, and for a mistyped word the closest
known one. All problems of a file are reported together.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from molbuffer.flows.settings.marked_keys import keys_of, table_of_class, tables
from molbuffer.flows.settings.toml_lines import KeyPath, find_line
from molbuffer.kinds import OF_FUNCTION, OF_OBJECT, Section

LONGEST_SHOWN = 60
"""The most characters of a wrong value that a message repeats."""


@dataclass(frozen=True)
class Problem:
    """One problem of a configuration.

    Attributes:
        path: the path of the key; empty for the file as a whole.
        message: what was found, what was expected, and what to do.
        line: the line of the key, from 1; None if it is unknown.
    """

    path: KeyPath
    message: str
    line: int | None = None

    @property
    def key(self) -> str:
        """The key in a user's notation: ``samplers[0].p_batch``; positions count from 0."""
        return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path).removeprefix(".")

    def __str__(self) -> str:
        place = [f"line {self.line}"] if self.line else []
        place += [f"key `{self.key}`"] if self.path else []
        return f"{', '.join(place)}: {self.message}" if place else self.message


class ConfigurationError(Exception):
    """A configuration that cannot be run.

    Attributes:
        source: the file.
        problems: all problems of the file, in its order.
    """

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        counted = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"{source}: {counted}", *(f"  {problem}" for problem in problems)]))


def toml_problem(error: tomllib.TOMLDecodeError) -> Problem:
    """Return a syntax error as a problem, with the line from the parser's message."""
    message, _, place = str(error).rpartition(" (at ")
    words = place.rstrip(")").replace(",", "").split()
    line = int(words[1]) if words[:1] == ["line"] else None
    column = f" (column {words[3]})" if line else ""
    return Problem((), f"this is not valid TOML: {message or error}{column}", line)


def validation_problems(
    error: ValidationError, data: Mapping[str, Any], model: type[Section], schema: Mapping[str, Any]
) -> tuple[Problem, ...]:
    """Return a validation error as problems.

    Args:
        error: the error of pydantic.
        data: the configuration that was validated.
        model: the class that validated the configuration.
        schema: the JSON schema of the class, for allowed keys and values.
    """
    details = error.errors(include_url=False)
    paths = [_without_tags(detail["loc"], data) for detail in details]
    # If a key takes words or other values, the message about the words lists all of them.
    of_words = {path for detail, path in zip(details, paths, strict=True) if detail["type"] == "literal_error"}
    return tuple(
        Problem(path, _message(detail, path, _Known(data, model, schema)))
        for detail, path in zip(details, paths, strict=True)
        if not (detail["type"] == "too_short" and _explained_by_others(path, paths))
        and not (path in of_words and detail["type"] != "literal_error")
    )


def locate(problems: Iterable[Problem], text: str) -> list[Problem]:
    """Return the problems with the lines of their keys in the file, without duplicates, in the order of the file.

    A missing key gets the line of the table that lacks it.
    """
    located = {replace(problem, line=problem.line or _nearest_line(text, problem.path)) for problem in problems}
    return sorted(located, key=lambda problem: (problem.line or 0, problem.key, problem.message))


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return ``; did you mean `x`?`` with the known word closest to a mistyped one, or a full stop if none is close."""
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f"; did you mean `{close[0]}`?" if close else "."


def shown(value: object) -> str:
    """Return a value of the file in the form in which a message repeats it."""
    if isinstance(value, Mapping):
        return "a table"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"


def _nearest_line(text: str, path: KeyPath) -> int | None:
    starts = (path[:size] for size in range(len(path), 0, -1))
    return next((line for start in starts if (line := find_line(text, start)) is not None), None)


def _without_tags(location: tuple[int | str, ...], data: Any) -> KeyPath:
    """Return the path of a key without the parts that pydantic adds: the kind of a table, the type of a plain value."""
    path: list[str | int] = []
    at_kind = False
    for part in location:
        if not at_kind and isinstance(data, Mapping) and part == data.get("kind"):
            # The kind is dropped only once, since a table of kind "x" may have an unknown key "x".
            at_kind = True
            continue
        if part in (OF_FUNCTION, OF_OBJECT):
            continue
        if isinstance(data, str | int | float):
            break
        path.append(part)
        at_kind = False
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            data = None
    return tuple(path)


def _explained_by_others(path: KeyPath, paths: Sequence[KeyPath]) -> bool:
    """Return whether a list is "too short" only because its items were refused."""
    return any(len(other) > len(path) and other[: len(path)] == path for other in paths)


_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "a text in quotes",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "finite_number": "a finite number",
    "greater_than": "a number > {gt:g}",
    "greater_than_equal": "a number >= {ge:g}",
    "less_than": "a number < {lt:g}",
    "less_than_equal": "a number <= {le:g}",
    "string_too_short": "a text that is not empty",
}
"""The expected value, by the type of pydantic's error."""


@dataclass(frozen=True)
class _Known:
    """The allowed keys and values at each place of a configuration, including those of the user's classes.

    Attributes:
        data: the configuration.
        model: the class that validates the configuration.
        schema: the JSON schema of the model, without the user's classes.
    """

    data: Mapping[str, Any]
    model: type[Section]
    schema: Mapping[str, Any]

    def keys(self, path: KeyPath) -> Iterable[str]:
        """Return the names of the keys of a table."""
        found = next((each for each in tables(self.data, self.model) if each.path == path), None)
        return () if found is None else keys_of(found.data, found.model)

    def place(self, path: KeyPath) -> Mapping[str, Any]:
        """Return the schema of a key."""
        for each in reversed(list(tables(self.data, self.model))):
            # The key may belong to the innermost class of the user around it.
            of_class = table_of_class(each.data, each.model) if path[: len(each.path)] == each.path else None
            rest = path[len(each.path) :]
            if of_class is not None and rest and rest[0] in of_class.model_fields:
                return resolve(of_class.model_json_schema(), rest, each.data)
        return resolve(self.schema, path, self.data)


def _message(detail: ErrorDetails, path: KeyPath, of: _Known) -> str:
    context, got = detail.get("ctx", {}), detail["input"]
    place = of.place(path)
    match detail["type"]:
        case "extra_forbidden":
            known = of.keys(path[:-1])
            return f"this key is not known{did_you_mean(path[-1], known)} Known here: {', '.join(known)}."
        case "missing":
            return f"this key is missing. {place.get('description', '')}".rstrip()
        case "union_tag_not_found":
            return f"the key `kind` is missing, expected one of: {', '.join(place['discriminator']['mapping'])}"
        case "union_tag_invalid":
            return _not_among(context["tag"], place["discriminator"]["mapping"], "kind ")
        case "literal_error":
            return _not_among(got, place.get("enum") or [place["const"]])
        case "too_short":
            return f"expected {context['min_length']} or more items, got {len(got)}"
        case "value_error":
            return str(context["error"])
        case "broken_rule":
            return str(context["message"])
        case known_type if known_type in _EXPECTED:
            return f"got {shown(got)}, expected {_EXPECTED[known_type].format(**context)}"
        case _:
            return f"got {shown(got)}: {detail['msg']}"


def _words(options: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the allowed values of a key that takes certain words, and perhaps booleans; nothing for other keys."""
    plain = [option for option in options if option.get("type") in ("boolean", "string")]
    if any("enum" in option or "const" in option for option in plain):
        for option in plain:
            yield from ("true", "false") if option["type"] == "boolean" else ()
            yield from option.get("enum", [option["const"]] if "const" in option else [])


def _not_among(got: object, allowed: Iterable[str], what: str = "") -> str:
    words = list(allowed)
    return f"got {what}{shown(got)}, expected one of: {', '.join(words)}{did_you_mean(got, words)}"


def resolve(schema: Mapping[str, Any], path: KeyPath, data: Any) -> Mapping[str, Any]:
    """Return the schema of a key, with its properties, allowed values and description; empty for an unknown key.

    Args:
        schema: the JSON schema of the whole configuration.
        path: the path of the key.
        data: the configuration, whose ``kind`` keys select among several tables.
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
    """Return the node that references, optional values and a choice of tables by kind lead to.

    A description next to a reference is that of the key, and the one at its target that of the table; the key's stays.
    """
    while True:
        beside = {name: value for name, value in node.items() if name == "description"}
        kinds = node.get("discriminator", {}).get("mapping", {})
        kind = data.get("kind") if isinstance(data, Mapping) else None
        if "$ref" in node:
            target = schema["$defs"][node["$ref"].rpartition("/")[2]]
        elif words := list(_words(node.get("anyOf", ()))):
            target = {"enum": words}
        elif "anyOf" in node and "properties" not in node:  # with properties, anyOf lists required keys
            target = next(option for option in node["anyOf"] if option != {"type": "null"})
        elif isinstance(kind, str) and kind in kinds:
            target = kinds[kind] if isinstance(kinds[kind], Mapping) else {"$ref": kinds[kind]}
        elif "oneOf" in node and "discriminator" not in node:
            # These are the two tables of kind "python"; that of a function is first.
            target = node["oneOf"]["object" in data if isinstance(data, Mapping) else 0]
        else:
            return node
        node = {**target, **beside}
