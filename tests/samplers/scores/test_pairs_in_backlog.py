"""R24: the reward of a pair is to come until both ends have theirs, in builds and in the backlog."""

from collections.abc import Sequence

import pytest

from molbuffer.lab import described_run
from molbuffer.samplers import Backlog, Pipeline
from molbuffer.samplers.builds.judging import BuildScores
from molbuffer.samplers.builds.pair_rewards import pair_rewards
from molbuffer.samplers.scores import Scorer
from molbuffer.scoring import ContrastiveTemplate, Judgement, Objective, PairJudgement, RawScore, Standardisation
from molbuffer.storage import Build, Commit, Event, RunKind, Samples, SampleStore, Score, ScoreStatus
from molbuffer.storage.rows import Rows


class Dock:
    """An expensive component that fails for molecules with a nitrogen."""

    kind = name = "dock"
    version, bounded, parallel, cost = "dock-1", True, False, "high"

    def values(self, molecules: Sequence[str]) -> list[RawScore]:
        return [RawScore(None, "no") if "N" in text else RawScore(len(text) / 10) for text in molecules]


OBJECTIVE = Objective([Dock()], mode="backlog")  # type: ignore[list-item]
TEMPLATE = ContrastiveTemplate()
PAIRS = [("C", "CCC"), ("CC", "CCCC"), ("CC", "CN"), ("N", "CCCCC")]
"""Sources and targets."""


def build_of_pairs(store: SampleStore) -> Build:
    """A build of these pairs, as ``make_build`` makes one."""
    scores = BuildScores(Scorer(OBJECTIVE, store, "run-1", computes="inline"))
    judged = [PairJudgement(Judgement(target, None), source, 0.5) for source, target in PAIRS]
    rewards, metrics = pair_rewards(judged, TEMPLATE, scores)
    targets = [target for _, target in PAIRS]
    return Build(
        run_id="run-1",
        iteration=0,
        event=Event.BUILD_BUFFER,
        sampler="pairs",
        sampler_kind="contrastive",
        objective_sha256=OBJECTIVE.sha256,
        samples=Samples(
            targets,
            targets,
            [None] * len(PAIRS),
            Rows.blank(len(PAIRS), "vocabulary"),
            source_smiles=[source for source, _ in PAIRS],
        ),
        rewards=rewards,
        metrics=metrics,
    )


@pytest.fixture
def started(store: SampleStore) -> SampleStore:
    store.start_run(described_run("run-1", "pairs", RunKind.BUILD, "{}", 0, objective=OBJECTIVE))
    return store


def test_r24_a_pair_waits_for_both_ends_and_fails_with_either(started: SampleStore) -> None:
    # One end is known, and of another pair one has failed already.
    started.record_scores([Score("C", "dock", "dock-1", 0.1), Score("CN", "dock", "dock-1", None, ScoreStatus.FAILED)])
    build = build_of_pairs(started)
    assert [reward.status for reward in build.rewards] == ["pending", "pending", "failed", "pending"]
    assert {metric.name: metric.value for metric in build.metrics}["pair_rewards"] is None
    started.commit(Commit([build]))
    backlog = Backlog(OBJECTIVE, started, TEMPLATE)
    worked = backlog.work_off(started.pending_rows(objectives=backlog.objectives, most=10), "run-1")
    assert (worked.completed, worked.failed, worked.left) == (2, 1, [])
    rewards = started.read_arrow(
        'SELECT "row", value, status FROM {rewards} WHERE status <> \'pending\' ORDER BY "row"'
    ).to_pylist()
    assert [(each["status"], each["value"]) for each in rewards] == [
        ("ok", pytest.approx(0.2)), ("ok", pytest.approx(0.2)), ("failed", None), ("failed", None)
    ]  # fmt: skip


def test_pairs_cannot_be_rejected_by_scores_that_come_later(started: SampleStore) -> None:
    with pytest.raises(ValueError, match="min_improvement rejects pairs by scores that the backlog has only later"):
        Pipeline(
            Standardisation(),
            [],
            Scorer(OBJECTIVE, started, computes="inline"),
            expressible=lambda _: True,
            seen=lambda _: set(),
            template=ContrastiveTemplate(min_improvement=0.1),
        )
