"""Keys of a configuration that a command sets: ``--set training.sigma=256``.

    campaign.iterations=200         a key, with a value in TOML
    policy.agent=run:3fa9c1         a text without spaces needs no quotes
    samplers[0].p_batch=0.25        a table of a list, by its position from 0
    samplers[live].p_batch=0.25     a table of a list, by its name, or by its kind, as in components[qed]

The values have the same effect as if they were written in the file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from molbuffer.flows.settings.problems import Problem, shown
from molbuffer.flows.settings.toml_lines import KeyPath

OPTION = "--set"

_STEP = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)((?:\[[^\[\]]+\])*)")
_PLAIN_TEXT = re.compile(r"[^\s\"'\[\]{}=,]+")


@dataclass(frozen=True)
class Override:
    """A value for a key of the configuration.

    Attributes:
        steps: the path of the key: names of keys, and positions or names of items of lists.
        value: the value.
        text: the option as the user gave it; "" for a value that the command sets itself.
    """

    steps: tuple[str | int, ...]
    value: Any
    text: str = ""

    @classmethod
    def parse(cls, text: str) -> Override:
        """Parse ``KEY=VALUE``.

        Raises:
            ValueError: the text has another form.
        """
        key, separator, value = text.partition("=")
        parts = [_STEP.fullmatch(part) for part in key.strip().split(".")]
        if not separator or not all(parts):
            raise ValueError(f"expected {OPTION} KEY=VALUE, as in {OPTION} training.sigma=256, got {text!r}")
        steps: list[str | int] = []
        for part in parts:
            assert part is not None
            places = re.findall(r"\[([^\[\]]+)\]", part[2])
            steps += [part[1], *(int(place) if place.isdigit() else place for place in places)]
        return cls(tuple(steps), _parse_value(text, value.strip()), text)


OFFLINE = (Override(("campaign", "offline"), True), Override(("campaign", "agents"), 1))
"""The values that an offline training sets itself, so that its file needs no sampler that draws."""


def parse_overrides(texts: Iterable[str]) -> list[Override]:
    """Parse several options.

    Raises:
        ValueError: one of them is not ``KEY=VALUE``.
    """
    return [Override.parse(text) for text in texts]


def with_overrides(
    data: Mapping[str, Any], overrides: Sequence[Override]
) -> tuple[dict[str, Any], dict[KeyPath, Override], list[Problem]]:
    """Return a configuration with values set, the paths of these, and the problems of those that cannot be set."""
    changed = deepcopy(dict(data))
    paths: dict[KeyPath, Override] = {}
    problems = []
    for override in overrides:
        path, reason = _set(changed, override)
        if reason is None:
            paths[path] = override
        else:
            problems.append(Problem(path, f"{reason} ({OPTION} {override.text})"))
    return changed, paths, problems


def told_of(problems: Iterable[Problem], paths: Mapping[KeyPath, Override]) -> list[Problem]:
    """Return the problems of a configuration; those of overridden values name the option instead of a line."""
    return [_told(problem, paths) for problem in problems]


def _told(problem: Problem, paths: Mapping[KeyPath, Override]) -> Problem:
    for path, override in paths.items():
        if problem.path[: len(path)] == path and override.text:
            return replace(problem, line=None, message=f"{problem.message} ({OPTION} {override.text})")
    return problem


def _parse_value(text: str, value: str) -> Any:
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        if _PLAIN_TEXT.fullmatch(value):
            return value
        raise ValueError(
            f'expected a value in TOML, such as 256, true, "a text" or [1, 2], got {value!r} ({OPTION} {text})'
        ) from None


def _set(data: dict[str, Any], override: Override) -> tuple[KeyPath, str | None]:
    """Set a value in place; return its path with positions, and the reason if it cannot be set, else None."""
    *outer, last = override.steps
    table: Any = data
    path: tuple[str | int, ...] = ()
    for step in outer:
        if isinstance(table, list):
            place = _position(table, step)
            if isinstance(place, str):
                return (*path, step), place
            path, table = (*path, place), table[place]
        elif isinstance(table, dict) and isinstance(step, str):
            path, table = (*path, step), table.setdefault(step, {})
        else:
            return path, f"this is {shown(table)}, expected a table"
    if isinstance(table, list):
        place = _position(table, last)
        if isinstance(place, str):
            return (*path, last), place
        table[place] = override.value
        return (*path, place), None
    if not isinstance(table, dict) or not isinstance(last, str):
        return path, f"this is {shown(table)}, expected {'a list' if isinstance(last, int) else 'a table'}"
    table[last] = override.value
    return (*path, last), None


_NAMING = ("name", "label", "property", "function", "object", "kind")
"""The keys whose text can name a table of a list, in order of precedence: a component of kind ``property`` without a
name is named by its property, and one without either by its kind."""


def _position(items: list[Any], step: str | int) -> int | str:
    """Return the position of an item, or the reason as a text if there is no such item."""
    if isinstance(step, int):
        return step if step < len(items) else f"there is no such item; the list has {_items(items)}"
    for key in _NAMING:
        named = [i for i, item in enumerate(items) if isinstance(item, Mapping) and item.get(key) == step]
        if len(named) > 1:
            places = " and ".join(map(str, named))
            return f"the items {places} have this {key}; name one by its position, such as [{named[0]}]"
        if named:
            return named[0]
    return f"there is no such item; the list has {_items(items)}"


def _items(items: list[Any]) -> str:
    """Return a text with the positions and names of the items of a list."""
    names = [next((item[key] for key in _NAMING if isinstance(item.get(key), str)), None) for item in _tables(items)]
    once = [name for name in names if name is not None and names.count(name) == 1]
    counted = f"the positions 0 to {len(items) - 1}" if items else "no items"
    return f"{counted}, and the names {', '.join(once)}" if once else counted


def _tables(items: list[Any]) -> Iterator[Mapping[str, Any]]:
    yield from (item for item in items if isinstance(item, Mapping))
