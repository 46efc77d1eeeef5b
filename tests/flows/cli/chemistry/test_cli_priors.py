"""``molbuffer import-prior`` and ``export-prior`` as a user runs them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, molbuffer: Command) -> Path:
    path = tmp_path_factory.mktemp("exported") / "zinc.prior"
    done = molbuffer("export-prior", "zinc-gru", "--out", path)
    assert done.returncode == 0, done.stderr
    return path


def test_a_prior_goes_to_reinvent_and_comes_back(exported: Path, tmp_path: Path, molbuffer: Command) -> None:
    lab = tmp_path / "lab"
    done = molbuffer("import-prior", exported, "--store", lab, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["kind"] == "gru" and told["only_drawn"] == ["^"]
    again = json.loads(molbuffer("import-prior", exported, "--store", lab, "--json").stdout)
    assert again.pop("run_id") != told["run_id"]
    assert again.items() <= told.items()
    sql = "SELECT r.kind, r.name, r.config, p.sha256 FROM runs r JOIN policies p USING (run_id)"
    (made,) = json.loads(molbuffer("query", "--store", lab, sql, "--format", "json").stdout)
    assert (made["kind"], made["name"], made["sha256"]) == ("import", "zinc.prior", told["policy"])
    assert json.loads(made["config"])["file_sha256"] == hashlib.sha256(exported.read_bytes()).hexdigest()
    runs = json.loads(molbuffer("runs", "--store", lab, "--json").stdout)
    assert [row["status"] for row in runs] == ["finished", "finished"]
    listed = json.loads(molbuffer("policies", "--store", lab, "--json").stdout)
    assert [(row["sha256"], row["kind"], row["weights_kept"]) for row in listed] == [(told["policy"], "gru", True)]
    assert told["file_sha256"] in molbuffer("snapshots", "--store", lab, "--json").stdout
    drawn = molbuffer("sample", told["policy"], "-n", "5", "--store", lab)
    assert len(drawn.stdout.splitlines()) == 5
    done = molbuffer("export-prior", told["policy"][:12], "--store", lab, "--out", tmp_path / "back.prior")
    assert done.returncode == 0, done.stderr
    one, two = (torch.load(path, weights_only=True)["network"] for path in (exported, tmp_path / "back.prior"))
    assert all(torch.equal(weight, two[name]) for name, weight in one.items())


def test_a_file_that_is_no_prior_makes_no_store(tmp_path: Path, molbuffer: Command) -> None:
    torch.save({"model_type": "Linkinvent", "network_state": {}}, tmp_path / "link.prior")
    done = molbuffer("import-prior", tmp_path / "link.prior", "--store", tmp_path / "lab")
    assert done.returncode == 1
    assert "'Linkinvent'" in done.stderr and "'Reinvent'" in done.stderr
    assert not (tmp_path / "lab").exists()


def test_no_file_is_written_over(exported: Path, molbuffer: Command) -> None:
    before = exported.read_bytes()
    done = molbuffer("export-prior", "zinc-gru", "--out", exported)
    assert done.returncode == 1
    assert f"--out {exported} " in done.stderr
    assert exported.read_bytes() == before
