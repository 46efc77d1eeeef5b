"""recover as a command: a lost catalog is made anew, what is missing has exit code 1, and nothing is overwritten."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from molbuffer.flows.cli import app
from molbuffer.storage import SampleStore


def run(*arguments: str | Path) -> Any:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert "Traceback" not in result.stderr
    return result


def lose(store: Path) -> None:
    for file in store.glob("catalog.sqlite*"):
        file.unlink()


def rows(store: Path) -> int:
    with SampleStore.open(store, read_only=True) as opened:
        return int(opened.query("SELECT count(*) FROM sample_history").item())


def test_a_store_without_its_catalog_is_refused_recovered_and_used(
    scored_store: Path, molbuffer: Callable[..., Any]
) -> None:
    wanted = rows(scored_store)
    lose(scored_store)
    for command in (["top"], ["runs"], ["maintain"], ["migrate"], ["snapshots"], ["query", "SELECT 1"]):
        refused = run(command[0], "--store", scored_store, *command[1:])
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert f"molbuffer recover {scored_store}" in refused.stderr
    assert run("verify", "--store", scored_store).exit_code == 1
    assert not (scored_store / "catalog.sqlite").exists()
    done = molbuffer("recover", scored_store)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("recovered from the journal: snapshots 0 to ")
    assert rows(scored_store) == wanted
    again = run("recover", scored_store)
    assert (again.exit_code, again.stdout) == (1, "")
    assert "is sound" in again.stderr


def test_what_cannot_be_recovered_is_named_with_exit_code_1(scored_store: Path) -> None:
    (lost, *_) = (scored_store / "tables" / "main" / "samples").iterdir()
    lost.write_bytes(b"PAR1")
    lose(scored_store)
    assert run("recover", scored_store, "--store", scored_store).exit_code == run("recover").exit_code == 1
    done = run("recover", "--store", scored_store, "--json")
    said = json.loads(done.stdout)
    assert done.exit_code == 1
    assert list(said["lost"]) == [f"tables/main/samples/{lost.name}"]
    assert said["source"] == "journal"
    # There was no catalog to be kept, but the journal that it was made from.
    assert [file.name for file in Path(said["kept"]).iterdir()] == ["journal.jsonl"]
    text = run("recover", scored_store, "--anyway", "--from", "files")
    assert text.exit_code == 1
    assert f"not recovered: tables/main/samples/{lost.name}" in text.stdout
    (kept,) = (scored_store / "backups").glob("lost-*/catalog.sqlite")
    assert str(kept.parent) in text.stdout


def test_sources_that_are_none_are_one_message(scored_store: Path, tmp_path: Path) -> None:
    for arguments, told in (
        ([scored_store, "--from", "tape"], "journal, backup or files"),
        ([scored_store, "--anyway", "--from", "backup"], "no backup"),
        ([tmp_path / "nothing"], "is no store"),
    ):
        done = run("recover", *arguments)
        assert (done.exit_code, done.stdout) == (1, "")
        assert told in done.stderr


def test_a_vacuum_of_most_of_a_store_needs_to_be_told(scored_store: Path) -> None:
    for place in range(30):
        (scored_store / "arrays" / f"unknown-{place}").mkdir()
    refused = run("maintain", "--store", scored_store, "--vacuum", "--grace", "0s")
    assert refused.exit_code == 1
    assert "--remove-most" in refused.stderr
    done = run("maintain", "--store", scored_store, "--vacuum", "--grace", "0s", "--remove-most", "--json")
    assert len(json.loads(done.stdout)["vacuum"]["removed"]) == 30
    assert rows(scored_store) > 0
