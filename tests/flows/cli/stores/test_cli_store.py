"""The commands that read a store, on a real one."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from molbuffer.flows.cli import app
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.storage import SampleStore
from molbuffer.storage.records import (
    Build,
    Checkpoint,
    Commit,
    Event,
    Metric,
    PolicyVersion,
    Reward,
    Run,
    RunKind,
    RunStatus,
    Samples,
)
from molbuffer.storage.rows import Rows

SMILES = ["CCO", "CCO", "CCN", "c1ccccc1", "CC(=O)Nc1ccc(O)cc1"]
REWARDS = [0.25, 0.25, 0.5, None, 0.75]


def make_build(run_id: str, vocabulary: Vocabulary, smiles: list[str], rewards: list[float | None]) -> Build:
    tokens, lengths = vocabulary.encode_many(smiles)
    rejected = [None if reward is not None else "molecular_weight" for reward in rewards]
    samples = Samples(
        raw=smiles,
        smiles=smiles,
        rejected_by=rejected,
        rows=Rows(
            tokens=tokens,
            lengths=lengths,
            log_probs=np.zeros(tokens.shape, np.float32),
            vocabulary_sha256=vocabulary.sha256,
        ),
    )
    return Build(
        run_id=run_id,
        iteration=0,
        event=Event.BUILD_BUFFER,
        sampler="live",
        sampler_kind="model",
        samples=samples,
        policy_sha256="ab" * 32,
        objective_sha256="cd" * 32,
        rewards=[Reward(i, "cd" * 32, value) for i, value in enumerate(rewards) if value is not None],
        metrics=[Metric("valid", 0.8), Metric("rewards", None)],
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, vocabulary: Vocabulary) -> Path:
    """A store with two runs of different rewards, of which the second failed."""
    path = tmp_path_factory.mktemp("lab") / "store"
    with SampleStore.create(path) as opened:
        for run_id, name, factor in (("1" * 32, "first", 1.0), ("2" * 32, "it's second", 1.2)):
            opened.start_run(Run(run_id, name, RunKind.BUILD, "{}", 7, objective_sha256="cd" * 32))
            rewards = [None if reward is None else reward * factor for reward in REWARDS]
            kept = PolicyVersion("ab" * 32, "gru", run_id=run_id, iteration=0, weights_kept=True)
            passing = PolicyVersion(run_id[0] * 64, "gru", parent_sha256="ab" * 32, run_id=run_id, iteration=1)
            build = make_build(run_id, vocabulary, SMILES, rewards)
            opened.commit(Commit(builds=[build], policies=[kept, passing], message="a build"))
        opened.finish_run("1" * 32, RunStatus.FINISHED)
        opened.finish_run("2" * 32, RunStatus.FAILED, "RuntimeError: out of luck")
    return path


def output(*arguments: str | Path, stdin: str | None = None) -> str:
    """What a command prints when all is well; it then says nothing on standard error."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def error(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


def test_json_is_an_array_of_objects_and_nothing_else(store: Path) -> None:
    sql = """SELECT smiles, reward, kept FROM sample_history WHERE run_name = 'first' ORDER BY "row" """
    rows = json.loads(output("query", "--store", store, sql, "--format", "json"))
    assert rows[0] == {"smiles": "CCO", "reward": 0.25, "kept": True}
    assert [row["reward"] for row in rows] == REWARDS
    assert json.loads(output("query", "--store", store, "SELECT 1 AS x WHERE false", "--format", "json")) == []


def test_json_has_texts_for_what_json_has_no_number_for_and_iso_dates(store: Path) -> None:
    sql = """SELECT 'nan'::DOUBLE AS a, 'inf'::DOUBLE AS b, NULL AS c, TIMESTAMP '2026-01-02 03:04:05' AS d,
        DATE '2026-01-02' AS e, [1.5, NULL] AS f, {'x': 'nan'::DOUBLE} AS g, 'é"' AS h, 1.50::DECIMAL(9, 2) AS i,
        '\\xff'::BLOB AS j, TIME '03:04:05' AS k"""
    (row,) = json.loads(output("query", "--store", store, sql, "--format", "json"))
    assert [row[name] for name in "abc"] == ["NaN", "Infinity", None]
    assert datetime.fromisoformat(row["d"]) == datetime(2026, 1, 2, 3, 4, 5)
    assert (row["e"], row["f"], row["g"], row["h"]) == ("2026-01-02", [1.5, None], {"x": "NaN"}, 'é"')
    assert (row["i"], row["j"], row["k"]) == (1.5, "ff", "03:04:05")


def test_csv_and_parquet_have_the_rows_and_the_files_name_says_which(store: Path, tmp_path: Path) -> None:
    sql = 'SELECT smiles, reward FROM sample_history ORDER BY run_name, "row"'
    for name, read in (("rows.csv", pl.read_csv), ("rows.parquet", pl.read_parquet), ("rows.json", pl.read_json)):
        assert output("query", "--store", store, sql, "--out", tmp_path / name) == ""
        frame = read(tmp_path / name)
        assert frame["smiles"].to_list() == SMILES * 2
        assert frame["reward"].to_list()[:5] == REWARDS
    assert output("query", "--store", store, "SELECT [1, 2] AS l", "--format", "csv") == 'l\n"[1, 2]"\n'


def test_a_table_is_whole_where_the_output_is_no_terminal(store: Path) -> None:
    long = "C" * 300
    printed = output("query", "--store", store, f"SELECT '{long}' AS smiles, 0.123456 AS reward, NULL AS nothing")
    assert long in printed
    assert "0.123456" in printed


def test_the_statement_may_come_from_standard_input(store: Path) -> None:
    assert json.loads(output("query", "--store", store, "-", "--format", "json", stdin="SELECT 1 AS x")) == [{"x": 1}]


def test_a_query_reads_the_version_asked_for(store: Path) -> None:
    with SampleStore.open(store, read_only=True) as opened:
        newest = opened.snapshot()
    counted = "SELECT count(*) AS n FROM run_events"
    now = json.loads(output("query", "--store", store, counted, "--format", "json"))
    before = json.loads(output("query", "--store", store, counted, "--format", "json", "--snapshot", str(newest - 1)))
    assert (now, before) == ([{"n": 4}], [{"n": 3}])


@pytest.mark.parametrize(
    "statement", ["DELETE FROM runs", "selekt 1", "SELECT * FROM nothing_here", "SELECT 1; SELECT 2"]
)
def test_a_statement_that_cannot_be_run_is_one_message(store: Path, statement: str) -> None:
    assert error("query", "--store", store, statement).startswith("error: ")


def test_wrong_options_are_messages_too(store: Path, tmp_path: Path) -> None:
    assert "needs --out" in error("query", "--store", store, "SELECT 1", "--format", "parquet")
    assert "is no store" in error("query", "--store", tmp_path / "nowhere", "SELECT 1")
    assert "nowhere" in error("query", "--store", store, "SELECT 1", "--out", tmp_path / "nowhere" / "x.csv")


def test_a_query_is_stopped_after_its_time(store: Path) -> None:
    endless = "SELECT count(*) FROM range(100000000) a, range(100000) b"
    assert "0.2" in error("query", "--store", store, endless, "--timeout", "0.2")


def test_runs_are_listed_newest_first_with_how_they_ended(store: Path) -> None:
    newest, oldest = json.loads(output("runs", "--store", store, "--json"))
    assert (newest["name"], newest["status"], newest["detail"]) == (
        "it's second",
        "failed",
        "RuntimeError: out of luck",
    )
    assert (oldest["name"], oldest["status"], oldest["samples"], oldest["kept"]) == ("first", "finished", 5, 4)
    assert oldest["detail"] is None, "the process that started it is of no interest any more"
    assert oldest["mean_reward"] == pytest.approx(1.75 / 4)
    assert "out of luck" in output("runs", "--store", store)


def test_top_lists_each_molecule_once_with_its_best_reward(store: Path) -> None:
    best = json.loads(output("top", "--store", store, "-n", "2", "--json"))
    assert [(row["smiles"], row["reward"]) for row in best] == [
        ("CC(=O)Nc1ccc(O)cc1", pytest.approx(0.9)),
        ("CCN", pytest.approx(0.6)),
    ]
    assert best[0]["run_name"] == "it's second"
    for name in ("first", "1111"):
        of_run = json.loads(output("top", "--store", store, "--run", name, "--json"))
        assert [row["reward"] for row in of_run] == [0.75, 0.5, 0.25]
    assert len(json.loads(output("top", "--store", store, "--run", "it's second", "--json"))) == 3


def test_top_keeps_objectives_apart(store: Path, tmp_path: Path, vocabulary: Vocabulary) -> None:
    mixed, other = shutil.copytree(store, tmp_path / "store"), "ce" * 32
    with SampleStore.open(mixed) as opened:
        opened.start_run(Run("3" * 32, "third", RunKind.BUILD, "{}", 7, objective_sha256=other))
        build = make_build("3" * 32, vocabulary, ["CCCl", "CCBr"], [900.0, 100.0])
        rewards = [replace(reward, objective_sha256=other) for reward in build.rewards]
        opened.commit(Commit([replace(build, objective_sha256=other, rewards=rewards)]))
        # A row of the first run gets a reward of the other objective.
        first = opened.receipts("1" * 32)[0].build_id
        opened.add_rewards(first, [Reward(2, other, 500.0)], "3" * 32)

    def top(*options: str) -> list[tuple[str, float, str]]:
        done = CliRunner().invoke(app, ["top", "--store", str(mixed), "-n", "2", "--json", *options])
        assert done.exit_code == 0
        return [
            (row["smiles"], round(row["reward"], 3), row["objective_sha256"][:2]) for row in json.loads(done.stdout)
        ]

    own = [("CC(=O)Nc1ccc(O)cc1", 0.9, "cd"), ("CCN", 0.6, "cd")]
    assert top() == [("CCCl", 900.0, "ce"), ("CCBr", 100.0, "ce"), *own]
    for name in ("cd", "first", "111", "it's second"):
        assert top("--objective", name) == own
    for name in ("ce", "third", "333"):
        assert top("--objective", name) == [("CCCl", 900.0, "ce"), ("CCN", 500.0, "ce")]
    assert top("--objective", "ce", "--run", "first") == [("CCN", 500.0, "ce")]
    for name in ("c", "", "nothing", "' OR true --"):
        error("top", "--store", mixed, "--objective", name)


def test_policies_are_those_that_can_be_drawn_from_unless_all_are_asked_for(store: Path) -> None:
    kept = json.loads(output("policies", "--store", store, "--json"))
    assert [row["sha256"] for row in kept] == ["ab" * 32]
    every = json.loads(output("policies", "--store", store, "--all", "--json"))
    assert {row["sha256"][0] for row in every} == {"a", "1", "2"}


def test_a_run_that_the_store_does_not_know_cannot_be_gone_on_with(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "campaign.toml"
    file.write_text('[campaign]\noffline = true\n[[objective.components]]\nkind = "qed"\n')
    for command in ("run", "offline"):
        said = error(command, file, "--store", store, "--resume", "777")
        assert said.startswith("error: '777' must start the id of exactly one run")


def test_the_attach_statement_names_the_catalog(store: Path) -> None:
    done = CliRunner().invoke(app, ["query", "--store", str(store), "--attach"])
    assert done.exit_code == 0
    assert f"ATTACH 'ducklake:sqlite:{store}/catalog.sqlite' AS \"molbuffer\"" in done.stdout
    assert "READ_ONLY" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["SELECT 1", "--attach"]])
def test_either_sql_or_the_attach_statement_is_asked_for(store: Path, arguments: list[str]) -> None:
    done = CliRunner().invoke(app, ["query", "--store", str(store), *arguments])
    assert done.exit_code != 0
    assert "expected either SQL or --attach" in done.stderr


def test_the_checkpoints_that_are_kept_are_listed(tmp_path: Path, molbuffer: Callable[..., Any]) -> None:
    with SampleStore.create(tmp_path / "lab") as store:
        store.start_run(Run("a" * 32, "steps", RunKind.TRAIN, "{}", 0))
        for iteration in (1, 2, 3):
            store.commit(Commit(checkpoint=Checkpoint("a" * 32, iteration, {"state": b"s"}, None)))
        shutil.rmtree(min((tmp_path / "lab" / "checkpoints" / ("a" * 32)).iterdir()))
    kept = json.loads(molbuffer("checkpoints", "--store", tmp_path / "lab", "--json").stdout)
    assert [(each["iteration"], each["kept"]) for each in kept] == [(3, True), (2, True)]
    every = molbuffer("checkpoints", "--store", tmp_path / "lab", "--all", "--run", "aaa")
    assert [line.split()[1:3] for line in every.stdout.splitlines()[2:]] == [["3", "yes"], ["2", "yes"], ["1", "no"]]
