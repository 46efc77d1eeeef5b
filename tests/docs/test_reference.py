"""The generated reference is complete: every column, metric, key, command and public name is in it, with a text."""

import re
from pathlib import Path

import cli_reference
import python_reference
import settings_reference
import store_reference

from molbuffer.flows import settings
from molbuffer.lab import METRIC_GROUPS, described, given
from molbuffer.storage.catalog import DESCRIPTIONS, QUERYABLE_TABLES, TABLES, VIEWS

ROOT = Path(__file__).resolve().parents[2]


def test_every_column_of_every_table_and_view_is_explained() -> None:
    assert set(DESCRIPTIONS) == {*TABLES, *VIEWS}
    found = store_reference.columns()
    assert set(found) == {*QUERYABLE_TABLES, *VIEWS}
    for name, columns in found.items():
        assert [column for column, _ in columns] == list(DESCRIPTIONS[name].columns), name
        for text in (DESCRIPTIONS[name].text, *DESCRIPTIONS[name].columns.values()):
            assert text[0].isupper() or text[0] in "`/", text
            assert text.endswith("."), text
    page = store_reference.tables_page()
    assert all(f"| `{column}` |" in page for columns in found.values() for column, _ in columns)


def test_the_metrics_that_the_code_names_are_explained() -> None:
    names: set[str] = set()
    for room in ("samplers", "training", "lab", "flows"):
        for file in (ROOT / room).rglob("*.py"):
            text = file.read_text()
            names |= set(re.findall(r'Metric\("(\w+)"', text))
            names |= set(re.findall(r'metrics\["(\w+)"\]', text)) - {"clipped"}
    docstring = (ROOT / "samplers" / "builds" / "metrics.py").read_text().split('"""')[1]
    names |= set(re.findall(r"^(\w+)  ", docstring, re.MULTILINE))
    assert len(names) > 20
    assert {name for name in names if described(name) is None} == set()
    assert described("share_live") == described("share_{sampler}")
    assert described("no_such_metric") is None
    page = store_reference.metrics_page()
    assert all(f"| `{name}` |" in page for group in METRIC_GROUPS for name in group.metrics)


def test_every_key_of_the_configuration_has_a_text_and_is_in_the_reference() -> None:
    assert settings_reference.undescribed() == []
    page = settings_reference.page()
    for name in settings.settings_schema()["properties"]:
        assert f"[{name}]" in page, name
    for family, kinds in settings_reference._kinds(settings.settings_schema()).items():
        if family in settings_reference.FAMILIES:
            assert all(f"### `{kind}`" in page for kind in kinds), family


def test_every_command_is_in_the_reference_with_an_example_that_it_accepts() -> None:
    page = cli_reference.page()
    names = [name for name, _ in cli_reference.commands()]
    assert "molbuffer config from-reinvent" in names
    assert len(names) > 25
    for name, command in cli_reference.commands():
        assert f"## {name}\n" in page
        example = cli_reference.example_of(command)
        assert example is not None, name
        assert example.startswith(name), example
        known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
        given_options = re.findall(r"(?<=\s)--?[a-z][\w-]*", example)
        assert set(given_options) <= known, example
        assert all(option.help for option in command.params), name


def test_every_public_name_is_in_the_reference_with_its_text() -> None:
    page = python_reference.page()
    sections = dict(re.findall(r"^## `mb\.(\w+)`\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE))
    assert set(sections) == set(python_reference.names())
    for name, text in sections.items():
        assert len(re.sub(r"```text.*?```", "", text, flags=re.DOTALL).strip()) > 20, name
    assert "| `steepness` |" in sections["Sigmoid"]
    assert ">>> " in sections["Sigmoid"]


def test_pages_list_what_may_change_in_a_run_that_is_gone_on_with() -> None:
    runs = (ROOT / "docs/how-to/runs.md").read_text().partition("**A finished run is extended**")[2]
    for key in settings.MAY_CHANGE:
        assert f"{key.rpartition('.')[2]}`" in runs.partition("**A warm")[0], key
    python = (ROOT / "docs/how-to/python.md").read_text().partition("### Going on")[2].partition("### Progress")[0]
    for key in given.MAY_CHANGE:
        assert f"`{key.rpartition('.')[2]}`" in python, key
