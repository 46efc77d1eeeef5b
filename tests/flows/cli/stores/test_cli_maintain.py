"""maintain and snapshots, as commands and as a flow."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from molbuffer.flows.cli import app
from molbuffer.flows.errors import UsageError
from molbuffer.flows.maintain import maintain
from molbuffer.flows.tasks.maintenance import MaintenanceRequest, maintain_store, parse_age
from molbuffer.storage import SampleStore
from molbuffer.storage.records import Build, Checkpoint, Commit, Event, Run, RunKind, Samples
from molbuffer.storage.rows import Rows

Command = Callable[..., Any]
ROWS = Rows(
    tokens=np.ones((1, 3), np.uint8), lengths=np.ones(1, np.int32), log_probs=np.zeros((1, 3), np.float32),
    vocabulary_sha256="vocabulary",
)  # fmt: skip
SAMPLES = Samples(["C"], ["C"], [None], ROWS)
BUILD = Build("run-1", 0, Event.BUILD_BUFFER, "live", "model", SAMPLES)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lab") / "store"
    with SampleStore.create(path) as store:
        store.start_run(Run("run-1", "first", RunKind.BUILD, "{}", 0))
        for iteration in range(3):
            store.commit(Commit([replace(BUILD, iteration=iteration)], author="ada", message=f"build {iteration}"))
    return path


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "store"))


def versions(store: Path) -> list[int]:
    with SampleStore.open(store, read_only=True) as opened:
        return [snapshot.version for snapshot in opened.snapshots()]


def output(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def error(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    return result.stderr


def test_maintain_says_what_was_done(store: Path, molbuffer: Command) -> None:
    done = molbuffer("maintain", "--store", store, "--expire-older-than", "0s", "--grace", "0s")
    assert (done.returncode, done.stderr) == (0, "")
    compacted, forgotten, backed_up, removed, *files = done.stdout.splitlines()
    # Three of samples, and three of builds.
    merged = 6
    assert compacted.startswith(f"compacted: merged {merged} Parquet files, ")
    assert "rewrote 3 segments as 1; other writers waited at most" in compacted
    assert forgotten == "expired 8 snapshots; 0 of the old ones are pinned and stay"
    (backup,) = (store / "backups").iterdir()
    assert backed_up.endswith(str(backup))
    assert removed.startswith(f"removed {len(files)} files and folders, ")
    assert sum(line.startswith("  segment arrays/") for line in files) == 3
    assert sum(line.startswith("  parquet tables/") for line in files) == merged
    with SampleStore.open(store, read_only=True) as opened:
        assert [opened.build(receipt.build_id).samples.raw for receipt in opened.receipts("run-1")] == [["C"]] * 3
        assert opened.verify().errors == ()


def test_a_dry_run_changes_nothing_and_json_has_all_of_it(store: Path) -> None:
    (store / "arrays" / "orphan").mkdir()
    command = ("maintain", "--store", store, "--expire-older-than", "0s", "--grace", "0s", "--json")
    before = versions(store)
    said = json.loads(output(*command, "--dry-run"))
    assert (said["store"], said["dry_run"], said["compact"]) == (str(store), True, None)
    assert said["expire"] == {"expired": before[:-1], "pinned": {}}
    assert said["vacuum"]["removed"][0]["path"] == "arrays/orphan"
    assert said["vacuum"]["bytes"] == sum(item["bytes"] for item in said["vacuum"]["removed"])
    assert versions(store) == before
    assert (store / "arrays" / "orphan").exists()
    assert "would expire" in output(*command[:-1], "--dry-run")
    done = json.loads(output(*command))
    assert (done["dry_run"], done["compact"]["segments_written"]) == (False, 1)
    assert not (store / "arrays" / "orphan").exists()


def test_only_what_is_asked_for_is_done(store: Path) -> None:
    only = json.loads(output("maintain", "--store", store, "--vacuum", "--json"))
    assert (only["compact"], only["expire"], only["vacuum"]["removed"]) == (None, None, [])
    only = json.loads(output("maintain", "--store", store, "--compact", "--json"))
    assert (only["compact"]["segments_replaced"], only["expire"], only["vacuum"]) == (3, None, None)


def test_segments_that_cannot_be_read_are_named(store: Path) -> None:
    shutil.rmtree(next((store / "arrays").iterdir()))
    said = output("maintain", "--store", store, "--compact")
    assert "rewrote 2 segments as 1" in said
    assert "  not readable, left unchanged: segment " in said


def test_what_is_pinned_is_counted_and_listed(store: Path) -> None:
    pinned = versions(store)[-2]
    with SampleStore.open(store) as opened:
        opened.start_run(Run("run-2", "second", RunKind.OFFLINE, "{}", 0, pinned_snapshot=pinned))
    said = output("maintain", "--store", store, "--vacuum", "--expire-older-than", "0s", "--dry-run")
    assert "; 1 of the old ones are pinned and stay" in said
    rows = json.loads(output("snapshots", "--store", store, "--json"))
    assert [row["version"] for row in rows] == versions(store)[::-1]
    by_version = {row["version"]: row for row in rows}
    assert by_version[pinned]["pinned_by"] == ["run run-2"]
    assert by_version[pinned + 1] | {"created": ""} == {
        "version": pinned + 1,
        "created": "",
        "author": "ada",
        "message": "build 2",
        "runs": ["run-1"],
        "samples": 1,
        "pinned_by": [],
    }
    assert rows[0]["pinned_by"] == ["newest"]
    assert (datetime.now() - datetime.fromisoformat(rows[0]["created"])).days < 2


def test_snapshots_are_a_table_for_people(store: Path, molbuffer: Command) -> None:
    done = molbuffer("snapshots", "--store", store)
    assert (done.returncode, done.stderr) == (0, "")
    assert "pinned_by" in done.stdout
    assert done.stdout.index("build 2") < done.stdout.index("build 0")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--grace", "soon"], "expected an age such as 30m, 24h, 7d or 2w, got 'soon'"),
        (["--expire-older-than", "-1d"], "expected an age"),
        (["--expire-older-than", "9999999999w"], "expected an age of at most"),
        (["--compact", "--dry-run"], "a dry run lists what expires and what a vacuum removes"),
    ],
)
def test_options_that_make_no_sense_are_one_message(store: Path, arguments: list[str], told: str) -> None:
    before = versions(store)
    assert told in error("maintain", "--store", store, *arguments)
    assert versions(store) == before


def test_a_store_that_is_none_busy_or_an_archive_is_one_message(store: Path, tmp_path: Path) -> None:
    for command in ("maintain", "snapshots"):
        assert "is no store" in error(command, "--store", tmp_path / "nowhere")
    with SampleStore.open(store) as opened:
        opened.archive(tmp_path / "archive")
        with opened.maintenance._alone():
            assert "by another process; try again when that is done" in error("maintain", "--store", store)
    assert "for reading only" in error("maintain", "--store", tmp_path / "archive")


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("30m", 1800), ("24h", 86400), (" 7d ", 604800), ("2w", 1209600), ("0s", 0)]
)
def test_ages(text: str, seconds: int) -> None:
    assert parse_age(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "5", "h", "1.5h", "24 h", "1h30m", "-1d", "1y"])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected an age"):
        parse_age(text)


def test_checkpoints_that_the_vacuum_keeps_can_be_resumed_from(store: Path) -> None:
    pinned = versions(store)[-3:]
    with SampleStore.open(store) as opened:
        for iteration, version in enumerate(pinned):
            opened.commit(Commit(checkpoint=Checkpoint("run-1", iteration, {"state": b"1"}, version)))
    done = maintain_store(MaintenanceRequest(str(store), expire_older_than="0s", grace="0s", keep_checkpoints=3))
    assert list(done["expire"]["pinned"]) == pinned
    assert len(list((store / "checkpoints/run-1").iterdir())) == 3


@pytest.mark.usefixtures("prefect_server")
def test_the_flow_does_what_the_command_does(store: Path) -> None:
    done = maintain(str(store), expire_older_than="0s", keep=2, grace="0s")
    assert done["compact"]["segments_replaced"] == 3
    assert len(done["expire"]["expired"]) > 0
    assert len(done["vacuum"]["removed"]) > 0
    assert len(versions(store)) == 2
