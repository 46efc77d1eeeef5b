"""R16: a training that was stopped and resumed is the training that was never stopped."""

from collections import Counter
from collections.abc import Sequence
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
LINEAGE = "SELECT sha256, parent_sha256 FROM {policies} GROUP BY ALL ORDER BY ALL"

BEFORE_A_CHECKPOINT, BETWEEN, AT_BUILDS = (1,), (5, 7), (4, 8)
"""After which iterations a training is stopped. One that is stopped several times passes all of them."""


class StoppedError(Exception):
    """What stops a training in these tests."""


def stop_after(iteration: int) -> Any:
    def progress(report: FitProgress) -> None:
        if report.iteration == iteration:
            raise StoppedError

    return progress


def run_to_the_end(lab: Any, stops: Sequence[int] = (), checkpoint_every: int = 3) -> Any:
    for stop in stops:
        with pytest.raises(StoppedError):
            lab.start().fit(checkpoint_every, stop_after(stop))
    training = lab.start()
    training.fit(checkpoint_every)
    return training


def assert_equal(resumed: Any, whole: Any) -> None:
    """Policies, rows, what was consumed and what descends from what are those of the other training."""
    assert resumed.loader.iteration == whole.loader.iteration == whole.loader.plan.iterations
    assert resumed.learner.policy().sha256 == whole.learner.policy().sha256
    for name, weights in whole.learner.policy().model.state_dict().items():
        assert torch.equal(weights, resumed.learner.policy().model.state_dict()[name])
    for sql in (ROWS, REFERENCES, LINEAGE):
        assert resumed.store.read_arrow(sql).to_pylist() == whole.store.read_arrow(sql).to_pylist()
    assert resumed.store.consumed("run") == whole.store.consumed("run")


def test_r16_a_resumed_training_equals_one_that_was_never_stopped(lab: Any, tmp_path: Path) -> None:
    changed = lab.adapted(iterations=8, build_every=4, buffer_size=20, selection=Uniform())
    whole = run_to_the_end(changed)
    with SampleStore.create(tmp_path / "stopped") as store:
        assert_equal(run_to_the_end(changed.adapted(store=store), BEFORE_A_CHECKPOINT + BETWEEN), whole)


def test_r16_a_run_goes_through_its_file_once_before_a_row_comes_again_however_often_it_is_resumed(
    lab: Any, tmp_path: Path
) -> None:
    rows = ["C" * (1 + number % 8) + "O" * (number // 8) for number in range(48)]
    (tmp_path / "rows.smi").write_text("\n".join([*rows, "C(", "no molecule"]))
    vocabulary = lab.prior.vocabulary

    def samplers(policy: Any) -> list[Any]:
        dataset = DatasetSampler("data", tmp_path / "rows.smi", vocabulary, size=SamplerSize(9, 0.5))
        return [ModelSampler("agent", policy, size=SamplerSize(10, 0.25)), dataset]

    # The buffer is built when it is due, and again when live rows are short, which is after they were drawn.
    changed = lab.adapted(iterations=12, build_every=4, selection=ConsumeOnce(), make_samplers=samplers)
    whole = run_to_the_end(changed)
    drawn = Counter(row["raw"] for row in whole.store.read_arrow(ROWS).to_pylist() if row["sampler_order"] == 1)
    assert sum(drawn.values()) > 50, "more than an epoch"
    assert max(drawn.values()) - min(drawn.values()) <= 1
    assert set(drawn) == {*rows, "C(", "no"}
    with SampleStore.create(tmp_path / "stopped") as store:
        stops = sorted(BEFORE_A_CHECKPOINT + AT_BUILDS + BETWEEN)
        assert_equal(run_to_the_end(changed.adapted(store=store), stops), whole)


def recall(lab: Any, writer: HistoryWriter) -> list[HistorySampler]:
    vocabulary = lab.prior.vocabulary
    objective = lab.objective.sha256
    view = RunHistory(
        lab.store, "run", objective_sha256=objective, vocabulary=vocabulary, settled=writer.settled, runs=("run",)
    )
    size = SamplerSize(p_batch=0.25)
    return [HistorySampler("again", view, vocabulary, selection=AboveQuantile(0.5), size=size)]


def test_r16_a_resumed_training_recalls_the_same_rows(lab: Any, tmp_path: Path) -> None:
    changed = lab.adapted(iterations=9, build_every=4, buffer_size=12, selection=ConsumeOnce(), more_samplers=recall)
    whole = run_to_the_end(changed, checkpoint_every=2)
    given = whole.store.read_arrow(REFERENCES).to_pylist()
    assert {(row["event"], row["iteration"]) for row in given} >= {("sample_batch", 2), ("sample_batch", 8)}
    with SampleStore.create(tmp_path / "stopped") as store:
        stops = (*BEFORE_A_CHECKPOINT, 4, 7)
        assert_equal(run_to_the_end(changed.adapted(store=store), stops, checkpoint_every=2), whole)


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
