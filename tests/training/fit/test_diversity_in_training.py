"""R31: the learner is given reward x penalty, the stored reward stays, and a resumed run has the same memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from molbuffer.storage import SampleStore
from molbuffer.training.batches.replay import Replay
from molbuffer.training.diversity import DiversitySettings
from molbuffer.training.fit.loop import FitProgress
from molbuffer.training.fit.trainables import Trainables

DRAWS = DiversitySettings(buckets="molecule", size=3, min_reward=0.3, penalty="linear")
ALIKE = DiversitySettings(buckets="similarity", size=4, min_reward=0.2, min_similarity=0.5)

# N of each good row at its iteration, and the penalty, from the tables alone.
RECOMPUTED = """
    SELECT b.iteration, s.smiles, r.value AS reward, (
        SELECT count(*) FROM {bucketed_molecules} AS m WHERE m.bucket = s.smiles AND m.iteration <= b.iteration) AS n
    FROM {samples} AS s JOIN {builds} AS b USING (build_id)
    JOIN {rewards} AS r ON r.build_id = s.build_id AND r."row" = s."row"
    WHERE b.event = 'sample_batch' ORDER BY b.iteration, s."row" """


class StoppedError(Exception):
    """What stops a training in these tests."""


def test_live_rows_are_penalised_by_what_the_store_says_they_are(lab: Any) -> None:
    training = lab.adapted(p_batch=1.0, buffer_size=0, iterations=4, diversity=DRAWS).start()
    batches, fit = [], training.learner.step
    training.learner.step = lambda batch: (batches.append(batch), fit(batch))[1]
    metrics: list[FitProgress] = []
    training.fit(checkpoint_every=2, progress=metrics.append)
    stored = training.store.read_arrow(RECOMPUTED).to_pylist()
    assert len(stored) == 4 * 8
    for batch, report in zip(batches, metrics, strict=True):
        rows = [row for row in stored if row["iteration"] == batch.iteration]
        assert sorted(batch.rewards.tolist()) == pytest.approx(sorted(row["reward"] for row in rows))
        expected = [row["reward"] * (max(0.0, 1 - row["n"] / 3) if row["reward"] >= 0.3 else 1.0) for row in rows]
        assert sorted(batch.learned_rewards.tolist()) == pytest.approx(sorted(expected), abs=1e-6)
        assert report.metrics["penalised"] == np.mean([row["reward"] >= 0.3 for row in rows])
    assert metrics[-1].metrics["buckets"] == len({row["smiles"] for row in stored if row["reward"] >= 0.3})
    assert (
        metrics[-1].metrics["full_buckets"]
        == training.store.query("SELECT count(*) FROM buckets WHERE molecules >= 3").item()
    )


def test_built_molecules_count_and_replayed_ones_are_penalised(lab: Any) -> None:
    full = DiversitySettings(buckets="molecule", size=1, min_reward=0.0)
    training = lab.adapted(p_batch=0.0, buffer_size=16, iterations=2, build_every=2, diversity=full).start()
    mixed = next(iter(training.loader))
    counted = {each.smiles for each in mixed.origin.bucketed}
    assert counted == set(training.store.query("SELECT smiles FROM sample_history WHERE kept")["smiles"].to_list())
    # A molecule that was built once fills its bucket, and is more than that when it was built twice.
    twice = training.loader.diversity.counts
    assert set(mixed.batch.columns["penalties"].tolist()) <= {0.0, 1.0}
    assert (mixed.batch.columns["penalties"] == 1).any() == any(count == 1 for count in twice.values())


@pytest.mark.parametrize("settings", [DRAWS, ALIKE], ids=["draws", "similarity"])
def test_r16_a_resumed_run_has_the_memory_of_one_that_was_never_stopped(
    lab: Any, tmp_path: Path, settings: DiversitySettings
) -> None:
    changed = lab.adapted(
        iterations=8, build_every=4, buffer_size=20, diversity=settings, replay=Replay(updates=2), batch_size=8
    )
    whole = changed.start()
    whole.fit(checkpoint_every=3)
    with SampleStore.create(tmp_path / "stopped") as store:
        again = changed.adapted(store=store)
        for stop in (1, 5, 7):
            with pytest.raises(StoppedError):
                again.start().fit(3, _stop_after(stop))
        resumed = again.start()
        resumed.fit(checkpoint_every=3)
        assert store.bucketed_molecules("run") == whole.store.bucketed_molecules("run") != []
        for name, weights in whole.learner.policy().model.state_dict().items():
            assert torch.equal(weights, resumed.learner.policy().model.state_dict()[name])


def _stop_after(iteration: int) -> Any:
    def progress(report: FitProgress) -> None:
        if report.iteration == iteration:
            raise StoppedError

    return progress


def test_trainables_learn_from_penalised_rewards(lab: Any) -> None:
    given: list[Any] = []

    class Watching:
        name = "agent"

        def update(self, builds: Any, replayed: Any = None) -> dict[str, float | None]:
            given.extend(builds)
            return {}

        def version(self, run_id: str, iteration: int) -> Any:
            return training.learner.version(run_id, iteration)

        def publish(self, policies: Any, run_id: str, iteration: int) -> Any:
            return training.learner.publish(policies, run_id, iteration)

        def checkpoint_files(self, prefix: str) -> dict[str, bytes]:
            return {}

    watched = lab.adapted(
        p_batch=1.0, buffer_size=0, iterations=2, diversity=DRAWS, make_trainables=lambda _: Trainables((Watching(),))
    )
    training = watched.start()
    training.fit(checkpoint_every=2)
    stored = training.store.read_arrow(RECOMPUTED).to_pylist()
    expected = [row["reward"] * (max(0.0, 1 - row["n"] / 3) if row["reward"] >= 0.3 else 1.0) for row in stored]
    assert [each.value for build in given for each in build.rewards] == pytest.approx(expected)
    assert expected != [row["reward"] for row in stored]
