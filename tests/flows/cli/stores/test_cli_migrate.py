"""The command ``migrate``, on a store from before the first migration."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from molbuffer.flows.cli import app
from molbuffer.storage import SampleStore
from molbuffer.storage.catalog.catalog import Catalog
from molbuffer.storage.catalog.schema.migrations import MIGRATIONS
from molbuffer.storage.description import Description
from molbuffer.storage.files.durable import sync_paths
from molbuffer.storage.layout import Layout

NAMES = [migration.name for migration in MIGRATIONS]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    layout = Layout(tmp_path / "lab")
    layout.make_folders()
    Catalog(layout.catalog, read_only=False, create=True).close()
    Description(uuid="12345678-1234-1234-1234-123456789abc").write(layout.description, sync_paths)
    return layout.root


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_store_of_an_older_release_is_refused_until_it_is_migrated(old: Path) -> None:
    for command in (["query", "SELECT 1"], ["runs"], ["maintain"]):
        refused = run(command[0], "--store", old, *command[1:])
        assert refused.exit_code == 1
        assert f"molbuffer migrate --store {old}" in refused.stderr
    done = run("migrate", "--store", old)
    assert done.exit_code == 0
    applied = "".join(f"applied: {name}\n" for name in NAMES)
    assert f"{applied}schema 0, format 1 became schema {len(NAMES)}, format 1\n" in done.stdout
    assert str(old / "backups" / "schema-0-version-0") in done.stdout
    assert run("query", "--store", old, "SELECT 1").exit_code == 0
    assert "nothing to do" in run("migrate", "--store", old).stdout


def test_the_receipt_as_json(old: Path) -> None:
    said = json.loads(run("migrate", "--store", old, "--json").stdout)
    backup = str(old / "backups" / "schema-0-version-0")
    wanted = {"old_schema": 0, "schema": len(NAMES), "old_format": 1, "format": 1, "applied": NAMES}
    assert said == wanted | {"backup": backup}
    assert json.loads(run("migrate", "--store", old, "--json").stdout)["backup"] is None


def test_what_cannot_be_migrated_is_a_message(tmp_path: Path) -> None:
    missing = run("migrate", "--store", tmp_path / "missing")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert str(tmp_path / "missing") in missing.stderr
    SampleStore.create(tmp_path / "new").close()
    description = tmp_path / "new" / "store.toml"
    description.write_text(description.read_text().replace("format = 1", "format = 99"))
    for command in (["migrate"], ["query", "SELECT 1"], ["verify"]):
        refused = run(command[0], "--store", tmp_path / "new", *command[1:])
        assert refused.exit_code == 1
        assert "format 99" in refused.stdout + refused.stderr
