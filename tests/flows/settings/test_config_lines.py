"""Lines are found by parsing starts of the file, whatever TOML's notation."""

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from molbuffer.flows.settings.problems import did_you_mean, shown, toml_problem
from molbuffer.flows.settings.toml_lines import KeyPath, find_line

TEXT = '''\
# a comment
a.b = 1

[table]
"quoted key" = 2
text = """
[no.table]
x = 1
"""
numbers = [
    1,  # a comment with ] in it
    2,
]
inline = { one = 1, two = { three = 3 } }

[[list]]
name = "first"
[[list]]

name = "second"
[list.below]
deep = true
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 2),
        (("a", "b"), 2),
        (("table",), 4),
        (("table", "quoted key"), 5),
        (("table", "text"), 6),
        (("table", "numbers"), 10),
        (("table", "numbers", 1), 10),
        (("table", "inline", "two", "three"), 14),
        (("list", 0), 16),
        (("list", 0, "name"), 17),
        (("list", 1), 18),
        (("list", 1, "name"), 20),
        (("list", 1, "below", "deep"), 22),
        (("no",), None),
        (("no", "table"), None),
        (("list", 2), None),
        (("a", "b", "c"), None),
    ],
)
def test_a_key_is_found_where_its_statement_begins(path: KeyPath, line: int | None) -> None:
    assert find_line(TEXT, path) == line


def test_every_key_of_a_file_has_a_line() -> None:
    paths = list(_paths(tomllib.loads(TEXT)))
    assert len(paths) > 15
    assert all(find_line(TEXT, path) for path in paths)


def _paths(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield (*path, key)
        yield from _paths(each, (*path, key))


@pytest.mark.parametrize(
    ("text", "line"), [("a = 1\nb = [1,\n", None), ("a = 1\na = 2\n", 2), ("a = 1\n= 2\n", 2), ("x = tru\n", 1)]
)
def test_a_syntax_error_has_a_line_unless_the_file_just_ends(text: str, line: int | None) -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as raised:
        tomllib.loads(text)
    assert toml_problem(raised.value).line == line


def test_values_are_shown_as_they_are_written_and_not_at_any_length() -> None:
    assert [shown(value) for value in (True, "x", 1.5, [1], {"a": 1})] == ["true", '"x"', "1.5", "[1]", "a table"]
    assert len(shown("x" * 1000)) == 60


def test_only_a_close_word_is_suggested() -> None:
    assert did_you_mean("sead", ["seed", "name"]) == "; did you mean `seed`?"
    assert did_you_mean("zebra", ["seed", "name"]) == "."
