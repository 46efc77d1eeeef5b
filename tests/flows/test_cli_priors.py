"""``molbuffer import-prior`` and ``export-prior`` as a user runs them."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

Command = Callable[..., "subprocess.CompletedProcess[str]"]


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
    assert again == told
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
    assert "holds a model of type 'Linkinvent'; only type 'Reinvent' can be imported" in done.stderr
    assert not (tmp_path / "lab").exists()


def test_no_file_is_written_over(exported: Path, molbuffer: Command) -> None:
    before = exported.read_bytes()
    done = molbuffer("export-prior", "zinc-gru", "--out", exported)
    assert done.returncode == 1
    assert "cannot be written: it exists" in done.stderr
    assert exported.read_bytes() == before
