"""``molbuffer query`` with values beside the statement, and stores with runs from Python."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from molbuffer.flows.errors import UsageError
from molbuffer.flows.tools.rescoring import newest_settings
from molbuffer.storage import Run, RunKind, SampleStore
from molbuffer.storage.errors import QueryError


@pytest.fixture
def asked(scored_store: Path, molbuffer: Callable[..., Any]) -> Callable[..., Any]:
    def ask(sql: str, *values: str) -> Any:
        parameters = [part for value in values for part in ("--param", value)]
        done = molbuffer("query", "--store", scored_store, sql, *parameters, "--format", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask


def test_values_are_given_in_order_or_by_name(asked: Callable[..., Any]) -> None:
    sql = "SELECT count(*) AS n FROM sample_history WHERE reward > {} AND smiles <> {}"
    wanted = asked(sql.format(0.3, "'CCCCCCCC'"))
    assert wanted[0]["n"] > 0
    assert asked(sql.format("?", "?"), "0.3", "CCCCCCCC") == wanted
    assert asked(sql.format("$least", "$smiles"), "smiles=CCCCCCCC", "least=0.3") == wanted


@pytest.mark.parametrize(
    ("value", "read"),
    [("3", 3), ("-0.5", -0.5), ("1e3", 1000.0), *((text, text) for text in ("007", "nan", "C=O", "x' OR 1=1"))],
)
def test_a_value_is_a_number_or_a_text(asked: Callable[..., Any], value: str, read: object) -> None:
    assert asked("SELECT ? AS value", value) == [{"value": read}]


def test_values_that_do_not_fit_are_refused(scored_store: Path, refused: Callable[..., BaseException]) -> None:
    assert isinstance(refused("query", "--store", scored_store, "SELECT ?", "--param", "1", "--param", "2"), QueryError)
    assert isinstance(refused("query", "--store", scored_store, "SELECT $x"), QueryError)
    assert isinstance(refused("query", "--store", scored_store, "--attach", "--param", "1"), UsageError)


def test_rescoring_passes_over_runs_from_python(scored_template: Path, tmp_path: Path) -> None:
    with SampleStore.open(shutil.copytree(scored_template, tmp_path / "lab")) as store:
        settings = newest_settings(store)
        store.start_run(Run("f" * 32, "notebook", RunKind.TRAIN, '{"policy": "abc"}', 0, objective_sha256="o"))
        assert newest_settings(store) == settings
