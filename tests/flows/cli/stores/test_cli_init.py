"""The command ``init``, and the others on a store whose catalog and files are on servers."""

import json
from uuid import uuid4

import pytest


@pytest.fixture
def places(postgres_server: str, s3_environment: str) -> list[str]:
    """Options that lead to a new schema and a new prefix."""
    return ["--catalog", f"{postgres_server}/postgres", "--schema", f"lab_{uuid4().hex}", "--data", s3_environment]


def test_two_folders_lead_to_one_store(molbuffer, places, tmp_path, tiny_config) -> None:
    made = [json.loads(molbuffer("init", "--store", tmp_path / name, *places, "--json").stdout) for name in "ab"]
    assert made[0]["uuid"] == made[1]["uuid"]
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["store.toml"]
    run = molbuffer("run", tiny_config, "--store", tmp_path / "a", "--json")
    assert run.returncode == 0, run.stderr
    sql = "SELECT event, count(*) AS n FROM sample_history GROUP BY ALL ORDER BY event"
    counted = [
        json.loads(molbuffer("query", "--store", tmp_path / name, "--format", "json", sql).stdout) for name in "ab"
    ]
    assert counted[0] == counted[1]
    assert {row["event"] for row in counted[0]} == {"build_buffer", "sample_batch"}
    offline = molbuffer("offline", tiny_config, "--store", tmp_path / "b", "--json")
    assert offline.returncode == 0, offline.stderr
    verified = molbuffer("verify", "--store", tmp_path / "b", "--json")
    assert verified.returncode == 0, verified.stdout


def test_an_address_with_a_password_is_refused(molbuffer, tmp_path) -> None:
    given = ["--catalog", "postgres://me:secret@host/lake", "--data", "s3://lab/x"]
    refused = molbuffer("init", "--store", tmp_path / "a", *given)
    assert refused.returncode >= 1
    assert "PGPASSWORD" in refused.stderr
    assert "secret" not in refused.stderr
    assert "Traceback" not in refused.stderr
