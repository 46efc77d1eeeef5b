import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.errors import PredicateError, QueryTimeoutError, QueryTooLargeError, UnknownSnapshotError
from molbuffer.storage.query.sandbox import QueryLimits, check_predicate, matching_rows
from molbuffer.storage.records import Commit, Event


@pytest.fixture(scope="module")
def filled(tmp_path_factory, make):
    builds = [make.make_build(1), make.make_build(0, event=Event.SAMPLE_BATCH), make.make_build(0)]
    with SampleStore.create(tmp_path_factory.mktemp("filled") / "store") as store:
        store.start_run(make.make_run())
        store.commit(Commit(builds))
        yield store


@pytest.mark.parametrize(
    "where",
    [
        "true",
        "reward > 0.5 AND kept",
        "(reward > 0.5) OR (NOT kept)",
        "smiles LIKE '%;%'",
        "length(smiles) BETWEEN 2 AND 40 AND event IN ('build_buffer', 'sample_batch')",
        "regexp_matches(raw, '^C+$') -- long chains",
        "created >= TIMESTAMP '2026-01-01'",
        "CASE WHEN kept THEN reward > 0.1 ELSE false END",
        "row % 2 = 0",
        "split_part(raw, '=', 1) = 'C' AND list_sum([row, 1]) > 2",
        "age(created, TIMESTAMP '2026-01-01') > INTERVAL 1 DAY",
        "nullif(raw, 'C') IS NOT NULL",
        "kept AND " * 500 + "kept",
    ],
)
def test_one_condition_over_a_row_is_accepted(where):
    assert check_predicate(where) == where


@pytest.mark.parametrize(
    "where",
    [
        "",
        "   ",
        "reward >",
        "true) OR (true",
        "true) UNION SELECT 1 FROM samples WHERE (true",
        "true) ORDER BY (reward",
        "true) LIMIT (1",
        "true) GROUP BY (row",
        "true); DROP TABLE samples; --",
        "true); SELECT (1",
        "true, false",
        "true) -- ",
        "build_id IN (SELECT build_id FROM builds)",
        "EXISTS (FROM read_csv('/etc/passwd'))",
        "reward > (SELECT avg(reward) FROM sample_history)",
        "random() < 0.5",
        "RANDOM() < 0.5",
        "kept AND (reward > 0.1 OR uuid() > 'a')",
        "created > now() - INTERVAL 1 DAY",
        "created > current_timestamp",
        "created > today()",
        "created > ago(INTERVAL 1 DAY)",
        "age(created) > INTERVAL 1 DAY",
        "created > current_localtimestamp()",
        "pg_postmaster_start_time() > created",
        "pg_sleep(1) IS NULL",
        "current_setting('memory_limit') = '2GB'",
        "getvariable('a') IS NULL",
        "pg_get_viewdef(1) IS NULL",
        "true/**/)OR(true",
        "kept\x00",
        "kept QUALIFY true",
        "kept USING SAMPLE 1",
        "raw IN (FROM runs)",
        "array(SELECT 1) IS NOT NULL",
        "(lambda x: x)(1)",
        "query('x')",
        "(" * 90_000,
        "NOT " * 10_000 + "kept",
        "kept AND " * 100_000 + "kept",
    ],
)
def test_anything_else_is_refused(where, filled):
    with pytest.raises(PredicateError) as caught:
        filled.matching_rows(where)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("where", ["nothing = 1", "sum(reward) > 1", "row_number() OVER () = 1", "raw", "no_such(raw)"])
def test_a_predicate_that_cannot_be_applied_says_why(filled, where):
    with pytest.raises(PredicateError, match="sample_history"):
        filled.matching_rows(where)


def test_r7_matching_rows_are_in_row_order(filled, make):
    rows = filled.matching_rows("kept AND row > 2")
    ids = [
        make.make_build(0).build_id,
        make.make_build(0, event=Event.SAMPLE_BATCH).build_id,
        make.make_build(1).build_id,
    ]
    assert rows.to_pylist() == [{"build_id": build_id, "row": row} for build_id in ids for row in (3, 4, 5)]


def test_matching_rows_are_those_of_a_version(started, make):
    old = started.commit(Commit([make.make_build(1)])).snapshot
    started.commit(Commit([make.make_build(2)]))
    assert (started.matching_rows("kept", old).num_rows, started.matching_rows("kept").num_rows) == (4, 8)
    with pytest.raises(UnknownSnapshotError):
        started.matching_rows("kept", 999)


def test_a_predicate_that_takes_too_long_is_stopped(filled):
    slow = "list_sum(list_transform(range(300000), x -> x * row)) > 0"
    with pytest.raises(QueryTimeoutError):
        matching_rows(filled._catalog, slow, filled.snapshot(), QueryLimits(seconds=0.01))


def test_a_predicate_that_would_take_all_the_memory_is_stopped(filled):
    with pytest.raises(QueryTooLargeError, match="50MB"):
        matching_rows(filled._catalog, "len(range(1000000000)) > row", filled.snapshot(), QueryLimits(memory="50MB"))
