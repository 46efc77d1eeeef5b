"""An export has the rows of the history view in their order, with what each column means, and is whole or not there."""

import shutil
import stat

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

import molbuffer.storage.query.export
from molbuffer.storage import SampleStore
from molbuffer.storage.errors import PredicateError, QueryError, UnknownSnapshotError
from molbuffer.storage.query.export import EXPORT_COLUMNS
from molbuffer.storage.records import Commit

ODD = 'C"C,\nO\u00e9'


@pytest.fixture(scope="module")
def template(started_template, tmp_path_factory, make):
    """run-1 and run-0, which started later, with two builds each, committed in the wrong order."""
    path = shutil.copytree(started_template, tmp_path_factory.mktemp("filled") / "store")
    with SampleStore.open(path) as store:
        store.start_run(make.make_run("run-0"))
        for run_id in ("run-0", "run-1"):
            for iteration in (1, 0):
                samples = make.make_samples(seed=iteration, raw=[ODD, "", "C", "CC", "=1+1", "N"])
                store.commit(Commit([make.make_build(iteration, samples=samples, run_id=run_id)]))
    return path


@pytest.fixture
def filled(open_copy, template):
    return open_copy(template)


def test_a_parquet_file_has_the_history_in_its_order_with_what_columns_mean(filled, tmp_path):
    receipt = filled.export(tmp_path / "history.parquet")
    frame = pl.read_parquet(tmp_path / "history.parquet")
    assert (receipt.rows, receipt.snapshot) == (24, filled.snapshot())
    assert list(zip(frame["run_id"], frame["iteration"], frame["row"], strict=True)) == [
        (run, iteration, row) for run in ("run-1", "run-0") for iteration in (0, 1) for row in range(6)
    ]
    history = filled.query("SELECT * FROM sample_history")
    assert frame.sort("run_id", "iteration", "row").equals(
        history.select(frame.columns).sort("run_id", "iteration", "row")
    )
    fields = {field.name: field for field in pq.read_schema(tmp_path / "history.parquet")}
    assert {name: field.metadata[b"description"].decode() for name, field in fields.items()} == dict(EXPORT_COLUMNS)


def test_every_column_of_the_view_is_in_the_export(filled):
    assert set(filled.query("SELECT * FROM sample_history LIMIT 0").columns) == set(EXPORT_COLUMNS)


def test_csv_can_be_read_back_whatever_is_in_a_string(filled, tmp_path):
    assert filled.export(tmp_path / "history.csv").rows == 24
    rows = duckdb.sql(f"FROM read_csv('{tmp_path}/history.csv', header => true, all_varchar => true)").fetchall()
    frame = pl.read_csv(tmp_path / "history.csv")
    assert len(rows) == frame.height == 24
    assert frame["raw"].to_list()[:6] == [ODD, "", "C", "CC", "=1+1", "N"]
    assert frame["reward"].to_list()[:6] == [0.0, None, None, 0.3, 0.4, 0.5]
    assert frame["kept"].to_list()[:3] == [True, False, False]


def test_a_condition_and_a_version_choose_the_rows(filled, make, tmp_path):
    version = filled.snapshot()
    filled.commit(Commit([make.make_build(5)]))
    where = "reward >= 0.4 AND run_id = 'run-1' -- the best"
    receipt = filled.export(tmp_path / "best.parquet", where=where, snapshot=version)
    frame = pl.read_parquet(tmp_path / "best.parquet")
    assert (receipt.rows, receipt.snapshot) == (4, version)
    assert frame["reward"].to_list() == [0.4, 0.5, 0.4, 0.5]


def test_no_row_is_a_file_with_columns(filled, tmp_path):
    for name in ("none.parquet", "none.csv"):
        assert filled.export(tmp_path / name, where="reward > 100").rows == 0
    assert pl.read_parquet(tmp_path / "none.parquet").columns == list(EXPORT_COLUMNS)
    assert (tmp_path / "none.csv").read_text().count("\n") == 1


def test_an_archive_can_be_exported(filled, tmp_path):
    filled.archive(tmp_path / "archive", where="reward > 0.2")
    with SampleStore.open(tmp_path / "archive") as archive:
        assert archive.export(tmp_path / "history.csv").rows == 12


def test_the_file_is_for_its_owner_and_replaced_in_one_step(filled, tmp_path):
    out = tmp_path / "history.csv"
    out.write_text("older")
    filled.export(out)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert out.read_text().startswith('"run_id"')
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".history")] == []


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"where": "true) OR (true"}, PredicateError, "true. OR .true"),
        ({"where": "smiles IN (SELECT content FROM read_text('/etc/passwd'))"}, PredicateError, "read_text"),
        ({"where": "rewardx > 1"}, PredicateError, "rewardx"),
        ({"where": "raw::INT > 1"}, PredicateError, "INT"),
        ({"snapshot": 99}, UnknownSnapshotError, "99"),
        ({"memory_limit": "1MB"}, QueryError, "1MB|history"),
    ],
)
def test_what_cannot_be_exported_leaves_the_older_file(filled, tmp_path, arguments, error, match):
    out = tmp_path / "history.parquet"
    out.write_text("older")
    with pytest.raises(error, match=match):
        filled.export(out, **arguments)
    assert out.read_text() == "older"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".history")] == []


def test_a_failure_while_rows_are_written_leaves_the_older_file(filled, tmp_path, monkeypatch):
    out = tmp_path / "history.csv"
    out.write_text("older")

    def full(paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(molbuffer.storage.query.export, "sync_paths", full)
    with pytest.raises(OSError) as raised:  # noqa: PT011 - its number says which
        filled.export(out)
    assert raised.value.errno == 28
    assert out.read_text() == "older"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".history")] == []


@pytest.mark.parametrize(("name", "error"), [("history.xlsx", ValueError), ("no/history.csv", FileNotFoundError)])
def test_a_place_that_is_none_is_refused(filled, tmp_path, name, error):
    with pytest.raises(error, match=r"history"):
        filled.export(tmp_path / name)
    assert not (tmp_path / "no").exists()
