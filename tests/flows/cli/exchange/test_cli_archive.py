"""archive, merge and export as commands, and offline training on an archive in each of its forms."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from molbuffer.flows.cli import app
from molbuffer.flows.errors import UsageError
from molbuffer.flows.settings.settings import Settings
from molbuffer.flows.train_offline import train_offline
from molbuffer.flows.work import run_offline
from molbuffer.storage import SampleStore
from molbuffer.storage.errors import (
    ArchiveError,
    ArchiveFault,
    PredicateError,
    RunConflictError,
    StoreExistsError,
    StoreModeError,
    StoreNotFoundError,
    UnknownRunError,
    UnknownSnapshotError,
)
from molbuffer.storage.verify.report import FindingKind
from molbuffer.training.fit.loop import fit_policy

Command = Callable[..., Any]


def said(done: Any) -> dict[str, Any]:
    """What a process printed as JSON when all was well."""
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.fixture
def archive(scored_store: Path, tmp_path: Path) -> Path:
    with SampleStore.open(scored_store) as store:
        store.archive(tmp_path / "archive")
    return tmp_path / "archive"


def test_rows_go_from_a_store_through_an_archive_into_another(
    scored_store: Path, tmp_path: Path, molbuffer: Command
) -> None:
    best = tmp_path / "best.tar.gz"
    archived = said(
        molbuffer("archive", "--store", scored_store, "--out", best, "--where", "reward > 0.6", "--run", "aa", "--json")
    )
    assert (archived["rows"], archived["builds"], archived["recorded"], archived["path"]) == (6, 2, True, str(best))
    assert stat.S_IMODE(best.stat().st_mode) == 0o400
    home = tmp_path / "home"
    merged = said(molbuffer("merge", best, "--store", home, "--json"))
    assert (merged["archive"], merged["rows"], merged["runs"]) == (archived["uuid"], 6, 1)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    again = molbuffer("merge", best, "--store", home)
    assert (again.returncode, again.stderr) == (0, "")
    assert "rows      0\n" in again.stdout
    exported = said(molbuffer("export", "--store", home, "--out", tmp_path / "history.parquet", "--json"))
    assert exported["rows"] == pl.read_parquet(tmp_path / "history.parquet").height == 6
    verified = said(molbuffer("verify", "--store", home, "--json"))
    assert (verified["errors"], verified["checked"]["samples"]) == (0, 6)


def test_what_cannot_be_done_is_one_message(
    scored_store: Path, archive: Path, tmp_path: Path, refused: Callable[..., BaseException]
) -> None:
    out, nowhere = tmp_path / "new.tar", tmp_path / "nowhere"
    cases = [
        (["archive", "--out", archive], StoreExistsError, str(archive)),
        (["archive", "--out", out, "--where", "reward > 2"], ArchiveError, str(scored_store)),
        (["archive", "--out", out, "--where", "true) OR (true"], PredicateError, "true) OR (true"),
        (["archive", "--out", out, "--run", "zzz"], UnknownRunError, "zzz"),
        (["archive", "--out", out, "--snapshot", "99"], UnknownSnapshotError, "99"),
        (["archive", "--store", nowhere, "--out", out], StoreNotFoundError, str(nowhere)),
        (["merge", nowhere], StoreNotFoundError, str(nowhere)),
        (["merge", scored_store], ArchiveError, str(scored_store)),
        (["merge", archive, "--store", archive], StoreModeError, str(archive)),
        (["merge", archive, "--max-size", "0.00001"], ArchiveError, "10000"),
        (["export", "--out", tmp_path / "history.xlsx"], UsageError, "history.xlsx"),
        (["export", "--out", tmp_path / "no" / "history.csv"], UsageError, str(tmp_path / "no")),
    ]
    for arguments, kind, named in cases:
        store = [] if "--store" in arguments else ["--store", scored_store]
        error = refused(*arguments, *store)
        assert isinstance(error, kind) and named in str(error), (arguments, type(error), error)
    assert not out.exists()


def test_a_hostile_archive_makes_no_store(archive: Path, tmp_path: Path, refused: Callable[..., BaseException]) -> None:
    (archive / "archive.json").chmod(0o600)
    (archive / "archive.json").write_text('{"bytes": 1e999}')
    assert isinstance(refused("merge", archive, "--store", tmp_path / "home"), ArchiveError)
    assert not (tmp_path / "home").exists()


def test_a_store_that_cannot_be_written_to_can_be_archived_and_says_so(archive: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["archive", "--store", str(archive), "--out", str(tmp_path / "second"), "--json"])
    assert (done.exit_code, json.loads(done.stdout)["recorded"]) == (0, False)
    assert "snapshot" in done.stderr


# Offline training


def contents(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in (folder, *folder.rglob("*"))}


def _stopped(learner: Any, loader: Any, history: Any, **_: Any) -> None:
    """Trains with a checkpoint after each step, and is stopped after the second of three."""

    def stop(progress: Any) -> None:
        if progress.iteration == 2:
            raise KeyboardInterrupt

    fit_policy(learner, loader, history, checkpoint_every=1, progress=stop)


@pytest.mark.usefixtures("prefect_server")
def test_training_on_an_archive_is_training_on_its_store_in_each_form_and_when_resumed(
    scored_store: Path, archive: Path, tiny_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOLBUFFER_CACHE", str(tmp_path / "cache"))
    config, own, tar = tiny_settings.to_json(), str(tmp_path / "own"), tmp_path / "archive.tar.gz"
    with SampleStore.open(archive) as opened:
        opened.archive(tar)
    expected = run_offline(config, str(scored_store))
    before = contents(archive)
    assert stat.S_IMODE(archive.stat().st_mode) == 0o500
    of_folder = train_offline(config, own, sources=[str(archive)])
    assert (of_folder["policy"], of_folder["rows"]) == (expected["policy"], 32)
    assert contents(archive) == before

    with monkeypatch.context() as patch:
        patch.setattr("molbuffer.lab.training.fit_policy", _stopped)
        with pytest.raises(KeyboardInterrupt):
            run_offline(config, own, sources=[str(tar)])
    with SampleStore.open(own, read_only=True) as store:
        failed = store.query("SELECT run_id FROM run_events WHERE status = 'interrupted'")["run_id"][0]
        assert store.latest_checkpoint(failed) is not None
    for wrong in ([], [str(archive)]):
        with pytest.raises(RunConflictError, match=failed):
            run_offline(config, own, sources=wrong, run_id=failed)
    resumed = run_offline(config, own, sources=[str(tar)], run_id=failed)
    assert (resumed["policy"], resumed["run_id"]) == (expected["policy"], failed)
    with SampleStore.open(own, read_only=True) as store:
        assert store.query("SELECT count(*) AS n FROM samples")["n"][0] == 0
        assert store.policies.resolve(resumed["policy"]) == expected["policy"]
        # What it consumed is in the archive, and nothing is wrong with that; older checkpoints may go.
        assert {finding.kind for finding in store.verify().findings} <= {FindingKind.ORPHAN}


def test_an_archive_is_no_place_for_a_policy_and_a_damaged_one_is_not_trained_on(
    archive: Path, tiny_settings: Settings, tmp_path: Path
) -> None:
    config = tiny_settings.to_json()
    with pytest.raises(StoreModeError, match=rf"--from {archive}"):
        run_offline(config, str(archive))
    chunk = next(archive.rglob("c.0.0"))
    chunk.chmod(0o600)
    chunk.write_bytes(chunk.read_bytes()[:-1])
    with pytest.raises(ArchiveError, match=str(chunk.relative_to(archive))) as caught:
        run_offline(config, str(tmp_path / "own"), sources=[str(archive)])
    assert caught.value.fault is ArchiveFault.SIZE


def test_the_command_reads_the_rows_from_an_archive(
    archive: Path, tiny_config: Path, tmp_path: Path, molbuffer: Command
) -> None:
    own, cached = tmp_path / "own", {"MOLBUFFER_CACHE": str(tmp_path / "cache")}
    done = molbuffer("offline", tiny_config, "--store", own, "--from", archive, "--json", **cached)
    assert done.returncode == 0, done.stderr
    trained = json.loads(done.stdout)
    assert (trained["rows"], trained["iterations"]) == (32, 3)
    assert trained["report"]["data"]["rows"] == 32
    done = molbuffer("offline", tiny_config, "--store", own, "--from", archive, "--snapshot", "2", **cached)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert "--snapshot" in done.stderr and "--from" in done.stderr
    assert os.listdir(own / "arrays") == []
