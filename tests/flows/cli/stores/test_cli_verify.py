"""verify as a command: damage has exit code 1 and a name, and quarantine lets training go on."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from molbuffer.flows.cli import app
from molbuffer.flows.settings.settings import Settings
from molbuffer.flows.work import run_offline
from molbuffer.storage import SampleStore
from molbuffer.storage.errors import ArraysError


def verify(*arguments: str | Path) -> Any:
    result = CliRunner().invoke(app, ["verify", *map(str, arguments)])
    assert "Traceback" not in result.stderr
    return result


def damage(store: Path) -> str:
    """Cuts the end off the arrays of the first build; returns the name of their segment."""
    with SampleStore.open(store, read_only=True) as opened:
        segment = str(opened.query("SELECT segment FROM builds WHERE iteration = 0")["segment"][0])
    chunk = store / "arrays" / segment / "tokens" / "c.0.0"
    chunk.chmod(0o600)
    chunk.write_bytes(chunk.read_bytes()[:-1])
    return segment


def test_a_sound_store_has_no_error(scored_store: Path, molbuffer: Callable[..., Any]) -> None:
    done = molbuffer("verify", "--store", scored_store)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].endswith("no error")
    assert "32 samples" in done.stdout
    quick = json.loads(verify("--store", scored_store, "--quick", "--json").stdout)
    assert (quick["errors"], quick["findings"], quick["quarantined"]) == (0, [], None)


def test_training_stops_at_damage_and_goes_on_without_it_after_quarantine(
    scored_store: Path, tiny_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOLBUFFER_CACHE", str(tmp_path / "cache"))
    segment = damage(scored_store)
    found = verify("--store", scored_store)
    assert found.exit_code == 1
    (line,) = [line for line in found.stdout.splitlines() if line.startswith("error: ")]
    assert segment in line
    assert "molbuffer verify --quarantine" in line
    with pytest.raises(ArraysError, match=segment):
        run_offline(tiny_settings.to_json(), str(scored_store))
    isolated = verify("--store", scored_store, "--quarantine")
    assert isolated.exit_code == 0
    assert f"quarantined: {segment}; training leaves out 16 rows" in isolated.stdout
    assert run_offline(tiny_settings.to_json(), str(scored_store))["rows"] == 16
    again = verify("--store", scored_store, "--json")
    report = json.loads(again.stdout)
    assert (again.exit_code, report["errors"]) == (0, 0)
    assert [(found["kind"], found["severity"]) for found in report["findings"]] == [("quarantine", "information")]


def test_quarantine_helps_with_arrays_only_and_the_exit_code_says_so(scored_store: Path) -> None:
    segment = damage(scored_store)
    (policy,) = (scored_store / "policies").iterdir()
    (policy / "config.json").write_bytes(b"{}")
    done = verify("--store", scored_store, "--quarantine", "--json")
    report = json.loads(done.stdout)
    assert (done.exit_code, report["errors"], report["quarantined"]["segments"]) == (1, 2, [segment])


def test_damage_of_an_archive_is_named_and_cannot_be_put_in_quarantine(scored_store: Path, tmp_path: Path) -> None:
    with SampleStore.open(scored_store) as store:
        store.archive(tmp_path / "archive")
    assert verify("--store", tmp_path / "archive").exit_code == 0
    segment = damage(tmp_path / "archive")
    done = verify("--store", tmp_path / "archive", "--quarantine")
    assert done.exit_code == 1
    # What was found is told all the same.
    assert f"arrays/{segment}/tokens/c.0.0 is damaged: it is not the file that archive.json lists" in done.stdout
    assert "is an archive, which cannot be changed: get another copy" in done.stderr


def test_an_archive_in_a_file_is_verified_as_one_in_a_folder(scored_store: Path, tmp_path: Path) -> None:
    with SampleStore.open(scored_store) as store:
        store.archive(tmp_path / "archive.tar")
    done = verify("--store", tmp_path / "archive.tar")
    assert (done.exit_code, done.stdout.splitlines()[-1].endswith("no error")) == (0, True)
    assert "32 samples" in done.stdout
    too_large = verify("--store", tmp_path / "archive.tar", "--max-size", "0.00001")
    assert (too_large.exit_code, too_large.stdout) == (1, "")
    assert "the limits are 10000" in too_large.stderr
    tar = bytearray((tmp_path / "archive.tar").read_bytes())
    # The middle of the first chunk of an array.
    start = tar.index(b"/tokens/c.0.0\0")
    tar[start - start % 512 + 512 + 30] ^= 4
    (tmp_path / "damaged.tar").write_bytes(tar)
    damaged = verify("--store", tmp_path / "damaged.tar", "--quarantine")
    assert damaged.exit_code == 1
    assert "tokens/c.0.0 is damaged: it is not the file that archive.json lists" in damaged.stdout
    assert "is an archive, which cannot be changed: get another copy" in damaged.stderr


def test_what_is_no_store_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "archive.tar").write_bytes(b"")
    for name, words in (("nowhere", "is no store"), ("archive.tar", "the archive ends in the middle")):
        done = verify("--store", tmp_path / name)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.startswith("error: ")
        assert words in done.stderr


def test_leftovers_name_the_command_that_removes_them(scored_store: Path) -> None:
    (scored_store / "policies" / ".aside.0").mkdir()
    done = verify("--store", scored_store)
    assert done.exit_code == 0
    assert "`molbuffer maintain --vacuum` removes it once it is" in done.stdout


def test_a_name_of_somebody_else_gives_the_terminal_no_orders(scored_store: Path, tmp_path: Path) -> None:
    with SampleStore.open(scored_store) as store:
        store.archive(tmp_path / "archive")
    (tmp_path / "archive" / "tables").chmod(0o700)
    Path(os.fsdecode(os.fsencode(tmp_path / "archive" / "tables") + b"/\xff\x1b[2J\x9b")).touch()
    for options in ((), ("--json",)):
        done = verify("--store", tmp_path / "archive", *options)
        assert (done.exit_code, type(done.exception)) == (1, SystemExit)
        assert "is not listed" in done.stdout
        assert "\x1b" not in done.stdout
