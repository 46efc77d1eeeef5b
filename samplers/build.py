"""Building: draw from a sampler, standardise, filter, score. The result is a build that is ready to be committed.

The same function makes builds for the buffer and for a training batch, so both events have the same rows, rejected
ones included, the same scores and the same metrics.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from samplers.base import Drawn, Sampler, Sources, concatenate
from samplers.history import HistorySampler, Recalled
from samplers.metrics import sampler_metrics
from samplers.scores import Scorer
from samplers.seeds import derive_seed
from scoring import Filter, Judgement, Standardisation, judge_many, standardise_many
from storage.records import Build, Event, Reward, Samples, ScoreStatus, no_samples, now

REDRAW_ROUNDS = 4
"""How often rejected rows are drawn again before a build is left short."""
VOCABULARY = "vocabulary"
"""What refuses a molecule that the policy in training cannot express."""


@dataclass(frozen=True)
class Pipeline:
    """What turns drawn strings into scored samples, the same for every sampler of a campaign.

    Attributes:
        expressible: whether the policy in training can express a string; a row it cannot is rejected.
        seen: which of some canonical SMILES occurred in the run before.
    """

    standardisation: Standardisation
    filters: Sequence[Filter]
    scorer: Scorer
    expressible: Callable[[str], bool]
    seen: Callable[[Sequence[str]], set[str]]


@dataclass(frozen=True)
class Slot:
    """Which build of a run is made: its identity, its place in the row order, and the seed that follows from them.

    Attributes:
        wanted: kept rows to make.
        campaign_seed: the campaign's; the build's own is derived from it.
    """

    run_id: str
    iteration: int
    event: Event
    sampler_order: int
    wanted: int
    campaign_seed: int
    chunk: int = 0
    flow_run_id: str | None = None
    task_run_id: str | None = None
    attempt_id: str = ""


def make_build(sampler: Sampler, slot: Slot, pipeline: Pipeline) -> Build:
    """Draws until ``slot.wanted`` rows are kept or the redraw rounds are over; a shortfall is a metric of the build.

    What draws from the history makes a build that refers to its rows.
    """
    if isinstance(sampler, HistorySampler):
        return recall_build(sampler, slot, pipeline)[0]
    started, clock = now(), time.perf_counter()
    seed = derive_seed(slot.campaign_seed, slot.iteration, slot.event.value, sampler.name, slot.chunk)
    samples = _draw_samples(sampler, slot.wanted, seed, pipeline)
    molecules = [text for text, keep in zip(samples.smiles, samples.kept, strict=True) if keep and text is not None]
    scored = pipeline.scorer.score(molecules)
    objective_sha256 = pipeline.scorer.objective.sha256
    rewards = _rewards(samples, scored.reward_of(), objective_sha256)
    seconds = time.perf_counter() - clock
    return Build(
        **_provenance(sampler, slot, pipeline),
        samples=samples,
        seed=seed,
        rewards=rewards,
        scores=scored.new,
        metrics=sampler_metrics(samples, rewards, slot.wanted, pipeline.seen, seconds),
        started=started,
        ended=now(),
    )


def recall_build(sampler: HistorySampler, slot: Slot, pipeline: Pipeline) -> tuple[Build, Recalled]:
    """Draws stored rows once: a build without samples that refers to them, and the rows.

    They are neither judged nor scored again, and none of them is new.
    """
    started, clock = now(), time.perf_counter()
    seed = derive_seed(slot.campaign_seed, slot.iteration, slot.event.value, sampler.name, slot.chunk)
    recalled = sampler.recall(slot.wanted, derive_seed(seed, 0))
    drawn, n = recalled.drawn, len(recalled)
    rows = Samples(
        drawn.raw, recalled.smiles, [None] * n, drawn.tokens, drawn.lengths, drawn.log_probs, drawn.vocabulary.sha256
    )
    objective_sha256 = pipeline.scorer.objective.sha256
    rewards = [Reward(row, objective_sha256, value) for row, value in enumerate(recalled.stored.rewards.tolist())]
    seconds = time.perf_counter() - clock
    build = Build(
        **_provenance(sampler, slot, pipeline),
        samples=no_samples(drawn.vocabulary.sha256),
        references=recalled.rows,
        seed=seed,
        metrics=sampler_metrics(rows, rewards, slot.wanted, lambda smiles: set(smiles), seconds),
        started=started,
        ended=now(),
    )
    return build, recalled


def _provenance(sampler: Sampler, slot: Slot, pipeline: Pipeline) -> dict[str, Any]:
    """What says where the rows of a build came from."""
    sampling = sampler.sampling
    return {
        "run_id": slot.run_id,
        "iteration": slot.iteration,
        "event": slot.event,
        "sampler": sampler.name,
        "sampler_kind": sampler.kind,
        "chunk": slot.chunk,
        "sampler_order": slot.sampler_order,
        "policy_sha256": sampler.policy_sha256,
        "temperature": sampling.temperature if sampling else None,
        "top_k": sampling.top_k if sampling else None,
        "top_p": sampling.top_p if sampling else None,
        "objective_sha256": pipeline.scorer.objective.sha256,
        "attempt_id": slot.attempt_id,
        "flow_run_id": slot.flow_run_id,
        "task_run_id": slot.task_run_id,
    }


def _draw_samples(sampler: Sampler, wanted: int, seed: int, pipeline: Pipeline) -> Samples:
    draws: list[Drawn] = []
    judged: list[Judgement] = []
    missing = wanted
    for attempt in range(1 + REDRAW_ROUNDS):
        drawn = sampler.draw(missing, derive_seed(seed, attempt))
        verdicts = judge_many(drawn.raw, pipeline.filters, pipeline.standardisation)
        draws.append(drawn)
        judged += [_judge_vocabulary(*row, pipeline) for row in zip(drawn.raw, verdicts, strict=True)]
        missing = wanted - sum(judgement.rejected_by is None for judgement in judged)
        if missing <= 0:
            break
    drawn = concatenate(draws)
    return Samples(
        raw=drawn.raw,
        smiles=[judgement.smiles for judgement in judged],
        rejected_by=[judgement.rejected_by for judgement in judged],
        tokens=drawn.tokens,
        lengths=drawn.lengths,
        log_probs=drawn.log_probs,
        vocabulary_sha256=drawn.vocabulary.sha256,
        latents=drawn.latents,
        latent_log_probs=drawn.latent_log_probs,
        **_source_columns(drawn.sources, pipeline),
    )


def _source_columns(sources: Sources | None, pipeline: Pipeline) -> dict[str, Any]:
    """The columns of what pairs were made from."""
    if sources is None:
        return {}
    return {
        "source_smiles": standardise_many(sources.smiles, pipeline.standardisation),
        "source_rows": sources.rows,
        "source_tokens": sources.tokens,
        "source_lengths": sources.lengths,
    }


def _judge_vocabulary(raw: str, judgement: Judgement, pipeline: Pipeline) -> Judgement:
    if judgement.rejected_by is None and not pipeline.expressible(raw):
        return replace(judgement, rejected_by=VOCABULARY)
    return judgement


def _rewards(samples: Samples, reward_of: dict[str, float], objective_sha256: str) -> list[Reward]:
    """One reward for each kept row, found by its molecule; failed where it is NaN."""
    rewards = []
    for row, (smiles, keep) in enumerate(zip(samples.smiles, samples.kept, strict=True)):
        if keep and smiles is not None:
            value = reward_of[smiles]
            failed = math.isnan(value)
            status = ScoreStatus.FAILED if failed else ScoreStatus.OK
            rewards.append(Reward(row, objective_sha256, None if failed else value, status))
    return rewards
