"""Making a build: draw from a sampler, standardise, filter and score. A build is ready to be committed.

One function makes the builds of both events, of the buffer and of training batches. So both have the same kinds of
rows, rejected ones included, of scores and of metrics.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from molbuffer.samplers.base import Draw, Recall, Sampler
from molbuffer.samplers.builds.build_spec import BuildSpec
from molbuffer.samplers.builds.checked_draws import recall_rows
from molbuffer.samplers.builds.judging import BuildScores, Pipeline
from molbuffer.samplers.builds.metrics import APPROXIMATE_NEW, NEW, policy_lag, sampler_metrics
from molbuffer.samplers.builds.pair_rewards import pair_rewards, source_metrics
from molbuffer.samplers.builds.rounds import Rounds
from molbuffer.samplers.builds.screening import Screener, screening_metrics
from molbuffer.samplers.errors import SamplerError
from molbuffer.samplers.scores import reward_of
from molbuffer.samplers.seeds import derive_seed
from molbuffer.scoring import Judgement, PairJudgement
from molbuffer.storage import Build, Event, Metric, Reward, Samples, ScreenedRow, no_samples, now


def make_build(sampler: Sampler, spec: BuildSpec, pipeline: Pipeline) -> Build:
    """Make a build: draw until ``spec.wanted`` rows are kept, or the rounds of drawing again are over.

    A shortfall is a metric of the build. The build of a sampler of stored rows refers to them.

    Raises:
        SamplerError: a sampler of stored rows is to make a build of the buffer, which has these rows already.
    """
    return draw_build(sampler, spec, pipeline)[0]


def draw_build(sampler: Sampler, spec: BuildSpec, pipeline: Pipeline) -> tuple[Build, Recall | None]:
    """Make a build as ``make_build`` does, and return it with the stored rows that it refers to, None for new rows."""
    started, clock = now(), time.perf_counter()
    seed = derive_seed(spec.campaign_seed, spec.iteration, spec.event.value, sampler.name, spec.chunk)
    provenance = _provenance(sampler, spec, pipeline) | {"seed": seed, "started": started}
    recall = recall_rows(sampler, spec.wanted, derive_seed(seed, 0))
    if recall is not None:
        if spec.event is Event.BUILD_BUFFER:
            raise SamplerError(
                f"the sampler {sampler.name!r} gives stored rows, which the buffer has already, and cannot make builds "
                "of the buffer; set only its p_batch, and choose a selection of the buffer that repeats rows"
            )
        return _recall_build(recall, spec, pipeline, provenance, clock), recall
    scores = BuildScores(pipeline.scorer)
    drawn, judged, screened = Rounds(sampler, spec, seed, pipeline, scores).made()
    samples = _samples(drawn, judged, screened)
    pairs: list[Reward] = []
    metrics = source_metrics(drawn)
    new = APPROXIMATE_NEW if pipeline.approximate else NEW
    if drawn.source_smiles is not None and pipeline.template is not None:
        pairs, of_pairs = pair_rewards(judged, pipeline.template, scores)
        metrics += of_pairs
    rewards = _rewards(samples, scores)
    if pipeline.screener is not None:
        metrics += _screened(pipeline.screener, spec, samples, rewards, scores)
    seconds = time.perf_counter() - clock
    build = Build(
        **provenance,
        samples=samples,
        rewards=[*rewards, *pairs],
        scores=scores.new,
        metrics=[*sampler_metrics(samples, rewards, spec.wanted, pipeline.seen, seconds, new=new), *metrics],
        screening=None if pipeline.screener is None else pipeline.screener.description(spec.place),
        ended=now(),
    )
    return build, None


def _screened(
    screener: Screener, spec: BuildSpec, samples: Samples, rewards: Sequence[Reward], scores: BuildScores
) -> list[Metric]:
    """Add a build to the training data of later screening models, and return the metrics of its own model."""
    of_rows = {reward.row: math.nan if reward.value is None else reward.value for reward in rewards}
    kept = [smiles for row in of_rows if (smiles := samples.smiles[row]) is not None]
    screener.learn(spec.place, scores.raw_values(kept), of_rows, samples.screened or ())
    return screening_metrics(samples.screened or (), {at: each for at, each in of_rows.items() if not math.isnan(each)})


def evaluation_build(
    sampler: Sampler,
    drawn: Draw,
    judged: Sequence[Judgement],
    reward_of_molecule: Mapping[str, float],
    *,
    run_id: str,
    iteration: int,
    seed: int,
    objective_sha256: str,
    chunk: int = 0,
) -> Build:
    """Return the build of an evaluation, with the rows by which a policy was judged.

    Args:
        sampler: the sampler that drew the rows.
        drawn: the drawn rows; only the first n are part of the build.
        judged: the judgements of the first n rows.
        reward_of_molecule: the reward of each kept molecule by canonical SMILES, NaN where a score failed.
        run_id: the run that judges the policy.
        iteration: the number of iterations that the policy has learned from.
        seed: the seed of the draws.
        objective_sha256: the objective of the rewards.
        chunk: a number that distinguishes evaluations of one iteration.
    """
    n, sampling, started = len(judged), sampler.sampling, now()
    samples = Samples(
        raw=drawn.raw[:n],
        smiles=[each.smiles for each in judged],
        rejected_by=[each.rejected_by for each in judged],
        rows=drawn.rows.take(slice(0, n)),
    )
    rewards = [
        reward_of(row, reward_of_molecule[each.smiles], objective_sha256)
        for row, each in enumerate(judged)
        if each.rejected_by is None and each.smiles is not None
    ]
    return Build(
        run_id=run_id,
        iteration=iteration,
        event=Event.EVALUATION,
        sampler=sampler.name,
        sampler_kind=sampler.kind,
        chunk=chunk,
        sampler_order=0,
        policy_sha256=sampler.policy_sha256,
        temperature=sampling.temperature if sampling else None,
        top_k=sampling.top_k if sampling else None,
        top_p=sampling.top_p if sampling else None,
        objective_sha256=objective_sha256,
        seed=seed,
        started=started,
        samples=samples,
        rewards=rewards,
        ended=now(),
    )


def _recall_build(
    recall: Recall, spec: BuildSpec, pipeline: Pipeline, provenance: Mapping[str, Any], clock: float
) -> Build:
    """Return a build of a batch without samples; it refers to stored rows, which are not judged or scored again."""
    samples = Samples(recall.drawn.raw, recall.smiles, [None] * len(recall), recall.drawn.rows)
    objective_sha256 = pipeline.scorer.objective.sha256
    rewards = [Reward(row, objective_sha256, value) for row, value in enumerate(recall.rewards.tolist())]
    seconds = time.perf_counter() - clock
    return Build(
        **provenance,
        samples=no_samples(samples.vocabulary_sha256),
        references=recall.ids,
        metrics=[
            *sampler_metrics(samples, rewards, spec.wanted, lambda smiles: set(smiles), seconds),
            policy_lag(spec.iteration, recall.drawn_in),
        ],
        ended=now(),
    )


def _provenance(sampler: Sampler, spec: BuildSpec, pipeline: Pipeline) -> dict[str, Any]:
    """Return the fields of a build with the provenance of its rows."""
    sampling = sampler.sampling
    return {
        "run_id": spec.run_id,
        "iteration": spec.iteration,
        "event": spec.event,
        "sampler": sampler.name,
        "sampler_kind": sampler.kind,
        "chunk": spec.chunk,
        "sampler_order": spec.sampler_order,
        "policy_sha256": sampler.policy_sha256,
        "latent_sha256": sampler.latent_sha256,
        "temperature": sampling.temperature if sampling else None,
        "top_k": sampling.top_k if sampling else None,
        "top_p": sampling.top_p if sampling else None,
        "objective_sha256": pipeline.scorer.objective.sha256,
        "stage": pipeline.stage,
        "attempt_id": spec.attempt_id,
        "flow_run_id": spec.flow_run_id,
        "task_run_id": spec.task_run_id,
    }


def _samples(drawn: Draw, judged: Sequence[PairJudgement], screened: Sequence[ScreenedRow | None] | None) -> Samples:
    return Samples(
        raw=drawn.raw,
        smiles=[judgement.target.smiles for judgement in judged],
        rejected_by=[judgement.target.rejected_by for judgement in judged],
        rows=drawn.rows,
        source_smiles=None if drawn.source_smiles is None else [judgement.source for judgement in judged],
        source_rows=drawn.source_rows,
        parents=drawn.parents,
        origins=drawn.origins,
        screened=screened,
    )


def _rewards(samples: Samples, scores: BuildScores) -> list[Reward]:
    """Return the reward of each kept row: failed where it is NaN, pending where scores are still missing."""
    kept = [
        (row, smiles)
        for row, (smiles, keep) in enumerate(zip(samples.smiles, samples.kept, strict=True))
        if keep and smiles is not None
    ]
    values, objective_sha256 = scores.of([smiles for _, smiles in kept]).tolist(), scores.scorer.objective.sha256
    return [
        reward_of(row, value, objective_sha256, pending=scores.are_pending(smiles))
        for (row, smiles), value in zip(kept, values, strict=True)
    ]
