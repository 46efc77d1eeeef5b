"""Values beside the text of a query, its result as Arrow, and the history as a lazy frame."""

import importlib.util
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import polars as pl
import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.errors import QueryError, QueryRefusedError
from molbuffer.storage.query import history_frame
from molbuffer.storage.records import Commit, Event, Reward


@pytest.fixture(scope="module")
def filled(tmp_path_factory, make):
    with SampleStore.create(tmp_path_factory.mktemp("filled") / "store") as store:
        store.start_run(make.make_run())
        builds = [
            make.make_build(0),
            make.make_build(1, event=Event.SAMPLE_BATCH, rewards=[Reward(0, make.OBJECTIVE, 0.9)]),
        ]
        store.commit(Commit(builds))
        yield store


def test_values_are_bound_by_position_and_by_name(filled):
    by_position = filled.query("SELECT smiles FROM samples WHERE smiles = ? AND kept = ? ORDER BY ALL", ["C", True])
    by_name = filled.query(
        "SELECT smiles FROM samples WHERE smiles = $one AND kept = $kept", {"one": "C", "kept": True}
    )
    assert set(by_position["smiles"]) == set(by_name["smiles"]) == {"C"}
    assert len(by_position) == len(by_name) > 0


def test_a_value_is_never_read_as_sql(filled):
    assert filled.query("SELECT ? AS text", ["x' OR 1=1; --"]).rows() == [("x' OR 1=1; --",)]
    assert filled.query("SELECT count(*) FROM samples WHERE smiles = ?", ["' OR '1' = '1"]).item() == 0


def test_values_keep_their_types(filled):
    zone = timezone(timedelta(hours=2))
    values = [None, True, 3, 0.25, "é", [1, 2], np.float32(0.5), date(2026, 1, 2), datetime(2026, 1, 2, 3, tzinfo=zone)]
    sql = "SELECT " + ", ".join(f"? AS c{number}" for number in range(len(values)))
    assert filled.query(sql, values).row(0)[:7] == (None, True, 3, 0.25, "é", [1, 2], 0.5)
    assert filled.query(sql, values).row(0)[7:] == (date(2026, 1, 2), datetime(2026, 1, 2, 1))
    assert filled.query("SELECT $when AS t", {"when": [values[-1]]}).item().to_list() == [datetime(2026, 1, 2, 1)]
    assert filled.query("SELECT count(*) FROM samples WHERE created > ?", [datetime(2020, 1, 1, tzinfo=UTC)]).item() > 0


@pytest.mark.parametrize(
    ("parameters", "said"),
    [([object()], "number 1"), ({"x": float("nan")}, r"\$x"), ("abc", "a list"), ([], "arameter")],
)
def test_a_value_that_cannot_be_bound_is_named(filled, parameters, said):
    with pytest.raises(QueryError, match=said):
        filled.query("SELECT ?" if not isinstance(parameters, dict) else "SELECT $x", parameters)


def test_parameters_do_not_let_other_statements_in(filled):
    with pytest.raises(QueryRefusedError):
        filled.query("DELETE FROM samples WHERE smiles = ?", ["C"])
    assert filled.query("SELECT count(*) FROM (PIVOT samples ON kept USING count(*))").item() > 0


def addresses(array):
    return [buffer.address for buffer in array.buffers() if buffer is not None]


def test_the_result_goes_to_arrow_polars_and_pandas_without_a_copy(filled):
    table = filled.query_table("SELECT reward, iteration FROM sample_history WHERE reward IS NOT NULL")
    column = table["reward"].chunk(0)
    frame = pl.DataFrame(table)
    assert set(addresses(frame["reward"].to_arrow())) == set(addresses(column))
    if importlib.util.find_spec("pandas") is not None:
        import pandas

        pandas_frame = table.to_pandas(types_mapper=pandas.ArrowDtype)
        assert addresses(pandas_frame["reward"].array.__arrow_array__().chunk(0)) == addresses(column)


def test_the_lazy_history_is_the_view(filled):
    frame, whole = filled.history(), filled.query("FROM sample_history")
    assert isinstance(frame, pl.LazyFrame)
    assert frame.collect_schema() == whole.schema
    order = ["build_id", "row"]
    assert frame.collect().sort(order).equals(whole.sort(order))


C = pl.col
CONDITIONS = [
    C("reward") > 0.3,
    (C("reward") >= 0.3) & C("kept") & (C("smiles") == "C"),
    ~C("kept") | C("rejected_by").is_null(),
    (C("iteration") == 1) & C("smiles").str.starts_with("C"),
    C("reward").is_not_null() & C("smiles").is_in(["C", "N"]),
    (C("iteration") + 1 == 2) | (C("event") == "build_buffer"),
    pl.lit(0.3) < C("reward"),
    C("run_id") != "run-1",
    C("created") > datetime(2020, 1, 1),
]


@pytest.mark.parametrize("condition", CONDITIONS, ids=str)
def test_a_condition_chooses_the_rows_that_polars_would(filled, condition):
    chosen = filled.history().filter(condition).select("build_id", "row", "reward").sort("build_id", "row").collect()
    whole = filled.query("FROM sample_history")
    assert chosen.equals(whole.filter(condition).select("build_id", "row", "reward").sort("build_id", "row"))


def test_sorted_heads_and_heads_of_a_filter_are_right(filled):
    whole = filled.query("FROM sample_history").filter(C("reward") > 0.1)
    best = filled.history().filter(C("reward") > 0.1).sort("reward", descending=True).head(2).collect()
    assert best["reward"].to_list() == whole["reward"].sort(descending=True).to_list()[:2]
    assert len(filled.history().head(2).collect()) == 2
    assert len(filled.history().filter(C("iteration") == 1).head(1).collect()) == 1
    assert filled.history().select(pl.len()).collect().item() == len(filled.query("FROM sample_history"))


def test_columns_and_comparisons_reach_the_files(filled, monkeypatch):
    read, history_sql = [], history_frame.history_sql

    def watched(columns, tree, n_rows):
        read.append(found := history_sql(columns, tree, n_rows))
        return found

    monkeypatch.setattr(history_frame, "history_sql", watched)
    filled.history().filter((C("reward") > 0.3) & C("smiles").str.contains("C")).select("smiles").collect()
    filled.history().select("smiles").head(3).collect()
    (filtered, values), (headed, none) = read
    assert values == [0.3]
    assert filtered.split("WHERE")[1].strip() == '("reward" > ?)'
    assert set(filtered.split("FROM")[0].replace(",", "").split()) == {"SELECT", '"reward"', '"smiles"'}
    assert (headed, none) == ('SELECT "smiles" FROM sample_history LIMIT 3', [])


def test_names_and_values_of_a_condition_are_no_sql(filled):
    tree = {
        "BinaryExpr": {
            "left": {"Column": 'x" OR 1=1 --'},
            "op": "Eq",
            "right": {"Literal": {"Scalar": {"String": "' OR 1=1 --"}}},
        }
    }
    sql, values = history_frame.history_sql(["smiles"], tree, None)
    assert '"x"" OR 1=1 --"' in sql
    assert values == ["' OR 1=1 --"]


def test_the_lazy_history_stays_at_its_snapshot(started, make):
    started.commit(Commit([make.make_build(0)]))
    frame = started.history()
    before = len(frame.collect())
    started.commit(Commit([make.make_build(1)]))
    assert len(frame.collect()) == before < len(started.history().collect())
    with pytest.raises(QueryError, match="memory"):
        started.history(memory_limit="a lot")
