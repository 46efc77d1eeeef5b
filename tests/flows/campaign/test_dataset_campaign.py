"""Campaigns that draw from files, from their settings to the stored rows: in chunks, in both events, with bad rows."""

import gzip
import logging
from collections import Counter
from pathlib import Path

import pytest

from molbuffer.flows.campaign.campaign import campaign_run
from molbuffer.flows.campaign.training import prepare_online
from molbuffer.flows.settings.overrides import Override
from molbuffer.flows.settings.problems import ConfigurationError
from molbuffer.flows.settings.settings import load_settings
from molbuffer.flows.tasks.build_request import build_requests
from molbuffer.flows.tasks.chunks import build_chunk
from molbuffer.storage import SampleStore
from molbuffer.storage.records import Commit, Event, RunKind

CAMPAIGN = """
[campaign]
seed = 3
iterations = 3
batch_size = 12
[policy]
prior = "zinc-gru"
[[objective.components]]
kind = "qed"
[buffer]
runs = "own"
build_every = 2
[[samplers]]
kind = "dataset"
name = "molecules"
path = "molecules.csv.gz"
id_column = "id"
buffer_size = 11
p_batch = 0.25
[[samplers]]
kind = "pair_dataset"
name = "pairs"
path = "pairs.csv"
buffer_size = 6
p_batch = 0.25
"""
MOLECULES = ["C" * n + "O" for n in range(1, 16)] + ["C(", "C[Xe]C"]
PAIRS = [("C" * n, "C" * n + "N") for n in range(1, 9)] + [("C(", "CCC")]


@pytest.fixture
def config(tmp_path: Path) -> Path:

    (tmp_path / "molecules.csv.gz").write_bytes(
        gzip.compress("\n".join(["smiles,ID", *(f"{text},M-{at}" for at, text in enumerate(MOLECULES))]).encode())
    )
    (tmp_path / "pairs.csv").write_text("\n".join(["source,target", *(f"{a},{b}" for a, b in PAIRS)]))
    (tmp_path / "campaign.toml").write_text(CAMPAIGN)
    return tmp_path / "campaign.toml"


def test_rows_of_files_come_once_an_epoch_in_builds_of_several_chunks_and_live_ones_together(
    config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = load_settings(config, [Override.parse("buffer.chunk_rows=4")])
    with (
        caplog.at_level(logging.WARNING),
        SampleStore.create(tmp_path / "lab") as store,
        campaign_run(settings, store, RunKind.TRAIN, "run") as campaign,
    ):
        training = prepare_online(campaign)

        def build(iteration: int) -> list:
            training.writer.drain()
            version = training.learner.publish(store.policies, "run", iteration)
            store.commit(Commit(policies=[version]))
            requests = build_requests(campaign, iteration, version.sha256, training.drawn)
            return [build_chunk(campaign, request) for request in requests]

        training.loader.build_buffer = build
        with training.writer:
            for mixed in training.loader:
                store.commit(Commit(builds=mixed.origin.live))
        rows = store.read_arrow(
            """SELECT b.sampler, b.event, b.chunk, s.raw, s.source_smiles, s.rejected_by
            FROM {samples} AS s JOIN {builds} AS b USING (build_id)"""
        ).to_pylist()
        history = store.query("SELECT sampler, raw, file, file_line, file_id FROM sample_history")
        parts = store.query("SELECT component, weight FROM objective_components")
    assert parts.rows() == [("qed", 1.0)]
    files = {"molecules": config.parent / "molecules.csv.gz", "pairs": config.parent / "pairs.csv"}
    texts_of = {"molecules": MOLECULES, "pairs": [target for _, target in PAIRS]}
    for sampler, raw, file, line, name in history.rows():
        assert (file, texts_of[sampler][line - 2]) == (str(files[sampler]), raw)
        assert name == (f"M-{line - 2}" if sampler == "molecules" else None)
    for name, texts in {"molecules": MOLECULES, "pairs": [target for _, target in PAIRS]}.items():
        drawn = Counter(row["raw"] for row in rows if row["sampler"] == name)
        assert sum(drawn.values()) > len(texts) and set(drawn) == set(texts)
        assert max(drawn.values()) - min(drawn.values()) <= 1
        assert {row["event"] for row in rows if row["sampler"] == name} == {Event.BUILD_BUFFER, Event.SAMPLE_BATCH}
    assert {row["chunk"] for row in rows if row["sampler"] == "molecules"} == {0, 1, 2}
    refused = {(row["raw"], row["rejected_by"]) for row in rows if row["rejected_by"]}
    assert refused == {("C(", "validity"), ("C[Xe]C", "vocabulary"), ("CCC", "source")}
    assert all(row["source_smiles"] == row["raw"][:-1] for row in rows if row["raw"].endswith("N"))
    gz, pairs = tmp_path / "molecules.csv.gz", tmp_path / "pairs.csv"
    named = [f"{gz}, line 17: 'C(': ", f"{gz}, line 18: 'C[Xe]C': ", f"{pairs}, line 10: 'C(': "]
    told = [record.getMessage() for record in caplog.records]
    assert [text[: len(name)] for text, name in zip(told, named, strict=True)] == named
    assert "'[Xe]'" in told[1].removeprefix(named[1])


@pytest.mark.parametrize("name", ["molecules.csv.gz", "pairs.csv"])
def test_a_file_that_is_not_there_is_named_before_anything_runs(config: Path, name: str) -> None:
    (config.parent / name).unlink()
    with pytest.raises(ConfigurationError) as caught:
        load_settings(config)
    (problem,) = caught.value.problems
    assert str(config.parent / name) in problem.message
