"""The parts of a build that any process can make which reaches the store: a chunk to be committed, and scores.

The library of models, with which a chunk is drawn, takes seconds to import: what draws is imported by those who draw.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from molbuffer.flows.campaign import build_objective, run_settings
from molbuffer.flows.tasks.attempts import Attempt
from molbuffer.flows.tasks.build_request import BuildRequest, ScoreRequest
from molbuffer.samplers import Scorer
from molbuffer.scoring import Objective
from molbuffer.storage import BuildReceipt, SampleStore


def make_part(request: BuildRequest, attempt: Attempt) -> dict[str, Any]:
    """Make one chunk, for the process of the run to commit; return its name, or the receipt of an earlier attempt."""
    from molbuffer.flows.campaign import reopen_campaign
    from molbuffer.flows.tasks.chunks import chunk_of
    from molbuffer.lab import stage_chunk

    with SampleStore.open(Path(request.store)) as store:
        campaign = reopen_campaign(store, request.run_id, request.device, request.stage)
        made = stage_chunk(campaign.context, *chunk_of(campaign, request, attempt))
    return {"committed": made.to_json()} if isinstance(made, BuildReceipt) else {"staged": made}


def make_part_apart(request: BuildRequest, attempt: Attempt) -> dict[str, Any]:
    """Make one chunk in a process that is one of several, each of which has one thread."""
    from molbuffer.lab import one_thread

    one_thread()
    return make_part(request, attempt)


def score_part(request: ScoreRequest) -> dict[str, int]:
    """Score molecules, each score stored within a second; return how many there are, and how many have no value."""
    with SampleStore.open(Path(request.store)) as store:
        objective = build_objective(run_settings(store, request.run_id, request.stage))
        wanted = [each for each in objective.components if each.component.name in request.components]
        # Whether a gate is open was asked before.
        scorer = Scorer(Objective([replace(each, weight=1.0, after=None) for each in wanted]), store, request.run_id)
        scorer = replace(scorer, pace=replace(scorer.pace, flush_seconds=request.flush_seconds))
        scored = scorer.score(request.molecules)
        store.record_scores(scored.new, run_id=request.run_id)
    return {"molecules": len(scored.smiles), "computed": scored.computed, "failed": len(scored.errors)}
