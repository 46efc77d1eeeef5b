"""R16: a training that was stopped and resumed is the training that was never stopped."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from molbuffer.samplers.base import SamplerSize
from molbuffer.samplers.dataset import DatasetSampler
from molbuffer.samplers.history import HistorySampler, RunHistory
from molbuffer.samplers.model import ModelSampler
from molbuffer.storage import SampleStore
from molbuffer.storage.history.selections import AboveQuantile, ConsumeOnce, Uniform
from molbuffer.storage.records import Checkpoint, PolicyVersion
from molbuffer.training.errors import HistoryError
from molbuffer.training.fit.history_writer import HistoryWriter
from molbuffer.training.fit.loop import FitProgress

ROWS = """SELECT b.iteration, b.event, b.sampler_order, b.chunk, s."row", s.raw, s.smiles, s.rejected_by,
        b.policy_sha256, b.seed, r.value
    FROM {samples} AS s JOIN {builds} AS b USING (build_id)
    LEFT JOIN {rewards} AS r ON r.build_id = s.build_id AND r."row" = s."row"
    ORDER BY b.iteration, b.event, b.sampler_order, b.chunk, s."row" """


REFERENCES = """SELECT b.iteration, b.event, b.sampler, b.chunk, given.position, given.source_build_id,
        given.source_row
    FROM {readmitted} AS given JOIN {builds} AS b ON b.build_id = given.build_id
    ORDER BY b.iteration, b.event, b.chunk, given.position"""


class StoppedError(Exception):
    """What stops a training in these tests."""


def stop_after(iteration: int) -> Any:
    def progress(report: FitProgress) -> None:
        if report.iteration == iteration:
            raise StoppedError

    return progress


def run_to_the_end(lab: Any, stops: tuple[int, ...] = (), checkpoint_every: int = 3) -> Any:
    for stop in stops:
        with pytest.raises(StoppedError):
            lab.start().fit(checkpoint_every, stop_after(stop))
    training = lab.start()
    training.fit(checkpoint_every)
    return training


@pytest.mark.parametrize("selection", [Uniform(), ConsumeOnce()], ids=["uniform", "consume_once"])
@pytest.mark.parametrize("stops", [(1,), (5, 7)], ids=["before_a_checkpoint", "twice"])
def test_r16_a_resumed_training_equals_one_that_was_never_stopped(
    lab: Any, tmp_path: Path, selection: Any, stops: tuple[int, ...]
) -> None:
    plan = {"iterations": 8, "build_every": 4, "buffer_size": 20, "selection": selection}
    whole = run_to_the_end(lab.adapted(**plan))
    with SampleStore.create(tmp_path / "stopped") as store:
        resumed = run_to_the_end(lab.adapted(**plan, store=store), stops)
        assert resumed.loader.iteration == whole.loader.iteration == 8
        assert resumed.learner.policy().sha256 == whole.learner.policy().sha256
        for name, weights in whole.learner.policy().model.state_dict().items():
            assert torch.equal(weights, resumed.learner.policy().model.state_dict()[name])
        assert store.read_arrow(ROWS).to_pylist() == whole.store.read_arrow(ROWS).to_pylist()
        assert store.consumed("run") == whole.store.consumed("run")
        lineage = "SELECT sha256, parent_sha256 FROM {policies} GROUP BY ALL ORDER BY ALL"
        assert store.read_arrow(lineage).to_pylist() == whole.store.read_arrow(lineage).to_pylist()


@pytest.mark.parametrize("stops", [(1,), (5, 7), (4, 8)], ids=["before_a_checkpoint", "between", "at_builds"])
def test_r16_a_run_goes_through_its_file_once_before_a_row_comes_again_however_often_it_is_resumed(
    lab: Any, tmp_path: Path, stops: tuple[int, ...]
) -> None:
    rows = ["C" * (1 + number % 8) + "O" * (number // 8) for number in range(48)]
    (tmp_path / "rows.smi").write_text("\n".join([*rows, "C(", "no molecule"]))
    vocabulary = lab.prior.vocabulary

    def samplers(policy: Any) -> list[Any]:
        dataset = DatasetSampler("data", tmp_path / "rows.smi", vocabulary, size=SamplerSize(9, 0.5))
        return [ModelSampler("agent", policy, size=SamplerSize(10, 0.25)), dataset]

    # The buffer is built when it is due, and again when live rows are short, which is after they were drawn.
    plan = {"iterations": 12, "build_every": 4, "selection": ConsumeOnce(), "make_samplers": samplers}
    whole = run_to_the_end(lab.adapted(**plan))
    drawn = Counter(row["raw"] for row in whole.store.read_arrow(ROWS).to_pylist() if row["sampler_order"] == 1)
    assert sum(drawn.values()) > 50, "more than an epoch"
    assert max(drawn.values()) - min(drawn.values()) <= 1
    assert set(drawn) == {*rows, "C(", "no"}
    with SampleStore.create(tmp_path / "stopped") as store:
        run_to_the_end(lab.adapted(**plan, store=store), stops)
        assert store.read_arrow(ROWS).to_pylist() == whole.store.read_arrow(ROWS).to_pylist()


def recall(lab: Any, writer: HistoryWriter) -> list[HistorySampler]:
    vocabulary = lab.prior.vocabulary
    objective = lab.objective.sha256
    view = RunHistory(
        lab.store, "run", objective_sha256=objective, vocabulary=vocabulary, settled=writer.settled, runs=("run",)
    )
    size = SamplerSize(buffer_size=6, p_batch=0.25)
    return [HistorySampler("again", view, vocabulary, selection=AboveQuantile(0.5), size=size)]


@pytest.mark.parametrize("stops", [(1,), (4, 7)], ids=["before_a_checkpoint", "twice"])
def test_r16_a_resumed_training_recalls_and_readmits_the_same_rows(
    lab: Any, tmp_path: Path, stops: tuple[int, ...]
) -> None:
    plan = {"iterations": 9, "build_every": 4, "buffer_size": 12, "selection": ConsumeOnce(), "more_samplers": recall}
    whole = run_to_the_end(lab.adapted(**plan), checkpoint_every=2)
    given = whole.store.read_arrow(REFERENCES).to_pylist()
    assert {(row["event"], row["iteration"]) for row in given} >= {("build_buffer", 4), ("sample_batch", 8)}
    with SampleStore.create(tmp_path / "stopped") as store:
        resumed = run_to_the_end(lab.adapted(**plan, store=store), stops, checkpoint_every=2)
        assert resumed.learner.policy().sha256 == whole.learner.policy().sha256
        assert store.read_arrow(REFERENCES).to_pylist() == given
        assert store.consumed("run") == whole.store.consumed("run")


def test_a_finished_training_that_is_started_again_does_nothing(lab: Any) -> None:
    first = run_to_the_end(lab)
    before = lab.store.snapshot()
    again = run_to_the_end(lab)
    assert again.learner.policy().sha256 == first.learner.policy().sha256
    tables = "SELECT count(*) AS n FROM {samples}"
    assert lab.store.read_arrow(tables) == lab.store.read_arrow(tables, snapshot=before)


def test_an_error_of_the_history_is_raised_by_the_training(lab: Any) -> None:
    lab.start()
    writer = HistoryWriter(lab.store, "no such run")
    version = PolicyVersion(lab.prior.sha256, lab.prior.kind, run_id="no such run")
    with pytest.raises(HistoryError, match="no such run") as caught, writer:
        writer.commit(Checkpoint("no such run", 1, {"state.json": b"{}"}), version)
    assert caught.value.__cause__ is not None


def test_after_an_error_nothing_more_is_committed(lab: Any) -> None:
    lab.start()
    writer = HistoryWriter(lab.store, "no such run")
    version = PolicyVersion(lab.prior.sha256, lab.prior.kind, run_id="no such run")
    with pytest.raises(HistoryError), writer:
        writer.commit(Checkpoint("no such run", 1, {"state.json": b"{}"}), version)
        with pytest.raises(HistoryError):
            writer.drain()
        with pytest.raises(HistoryError):
            writer.commit(Checkpoint("run", 2, {"state.json": b"{}"}), version)
    assert lab.store.latest_checkpoint("run") is None
