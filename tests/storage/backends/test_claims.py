from contextlib import closing

import pytest

from molbuffer.storage import CatalogUnavailableError
from molbuffer.storage.backends import postgres
from molbuffer.storage.backends.sqlite import SqliteClaims


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_a_claim_is_exclusive_until_it_is_released(tmp_path):
    claims = SqliteClaims(tmp_path / "claims.sqlite")
    assert claims.claim("docking", "v1", ["C", "CC"], "a", 60) == {"C", "CC"}
    assert claims.claim("docking", "v1", ["CC", "CCC"], "b", 60) == {"CCC"}
    claims.release("docking", "v1", ["C", "CC", "CCC"], "a")
    assert claims.claim("docking", "v1", ["C", "CC", "CCC"], "c", 60) == {"C", "CC"}


def test_claims_are_per_component_and_version(tmp_path):
    claims = SqliteClaims(tmp_path / "claims.sqlite")
    for component, version in (("docking", "v1"), ("docking", "v2"), ("affinity", "v1")):
        assert claims.claim(component, version, ["C"], f"{component}{version}", 60) == {"C"}


def test_a_claim_expires_and_its_owner_may_extend_it(tmp_path):
    clock = Clock()
    claims = SqliteClaims(tmp_path / "claims.sqlite", clock)
    claims.claim("docking", "v1", ["C", "N"], "dead", 60)
    clock.now += 59
    assert claims.claim("docking", "v1", ["C"], "other", 60) == set()
    assert claims.claim("docking", "v1", ["N"], "dead", 60) == {"N"}
    clock.now += 1
    assert claims.claim("docking", "v1", ["C", "N"], "other", 60) == {"C"}


def test_r1_processes_never_share_a_claim(started, writer):
    processes = [writer("claim", started.path, f"owner-{i}") for i in range(3)]
    granted = [smiles for process in processes for smiles in process.communicate(timeout=600)[0].split()]
    assert sorted(granted) == sorted(f"C{i}" for i in range(100))


def test_many_molecules_and_repeats_are_claimed_at_once(tmp_path):
    claims = SqliteClaims(tmp_path / "claims.sqlite")
    smiles = [f"C{i}" for i in range(10_000)]
    assert claims.claim("docking", "v1", smiles + smiles[:5], "a", 60) == set(smiles)
    assert claims.claim("docking", "v1", [], "a", 60) == set()


def test_a_file_that_is_gone_is_made_again_and_claims_go_on(tmp_path):
    path = tmp_path / "claims.sqlite"
    with closing(SqliteClaims(path)) as claims, closing(SqliteClaims(path)) as others:
        assert claims.claim("docking", "v1", ["C"], "a", 60) == {"C"}
        for each in tmp_path.iterdir():
            each.unlink()
        assert others.claim("docking", "v1", ["C"], "b", 60) == {"C"}
        assert claims.claim("docking", "v1", ["C", "CC"], "a", 60) == {"CC"}
        claims.close()
        assert claims.claim("docking", "v1", ["CC"], "b", 60) == set()


USES = {
    "claim": lambda claims: claims.claim("docking", "v1", ["C"], "me", 60),
    "holders": lambda claims: claims.holders("docking", "v1", ["C"]),
    "release": lambda claims: claims.release("docking", "v1", ["C"], "me"),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_connection_that_breaks_is_an_error_that_may_pass(postgres_server, monkeypatch, use):
    connect = postgres.connect

    def broken(uri):
        connection = connect(uri)
        with connect(uri) as other:
            other.execute("SELECT pg_terminate_backend(%s, 10000)", [connection.info.backend_pid])
        return connection

    monkeypatch.setattr(postgres, "connect", broken)
    with pytest.raises(CatalogUnavailableError, match=r"the claims in .* cannot be used"):
        use(postgres.PostgresClaims(postgres_server, "public"))
