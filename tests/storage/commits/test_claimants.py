"""Claims are named by process: those of one that has ended are free at once, and no others."""

import json
import subprocess
import sys

import pytest

from molbuffer.storage import Process, new_claimant, release_ended
from molbuffer.storage.backends.sqlite import SqliteClaims

NEW_CLAIMANT = "from molbuffer.storage import new_claimant; print(new_claimant())"


@pytest.fixture(scope="module")
def ended() -> str:
    """The name of a scorer whose process has ended."""
    return subprocess.run(
        [sys.executable, "-c", NEW_CLAIMANT], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_only_the_claims_of_a_process_that_has_ended_are_free(tmp_path, ended):
    claims, alive = SqliteClaims(tmp_path / "claims.sqlite"), new_claimant()
    elsewhere = ended.replace(f'"host": "{Process.current().host}"', '"host": "elsewhere"')
    owners = {"C": ended, "CC": alive, "CCC": elsewhere, "CCCC": "by hand", "CCCCC": ended}
    for smiles, owner in owners.items():
        assert claims.claim("docking", "v1", [smiles], owner, 3600) == {smiles}
    asked = ["C", "CC", "CCC", "CCCC"]
    release_ended(claims, "docking", "v1", asked)
    assert claims.holders("docking", "v1", list(owners)).keys() == {"CC", "CCC", "CCCC", "CCCCC"}
    assert claims.claim("docking", "v1", asked, "next", 60) == {"C"}


def test_a_claimant_is_one_scorer_and_is_told_by_host_and_process(tmp_path, ended):
    first, second = new_claimant(), new_claimant()
    assert first != second
    claims = SqliteClaims(tmp_path / "claims.sqlite")
    claims.claim("docking", "v1", ["C"], first, 60)
    process = Process.current()
    assert claims.holders("docking", "v1", ["C"])["C"].name == f"{process.host}:{process.pid}"
    assert json.loads(ended.partition(" ")[2])["pid"] != process.pid
