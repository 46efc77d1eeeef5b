"""The parts of a build that any process with access to the store can make: uncommitted chunks, and scores.

Drawing needs torch, whose import takes seconds, so the functions that draw import it themselves.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from molbuffer.flows.campaign import build_objective, run_settings
from molbuffer.flows.tasks.attempts import Attempt
from molbuffer.flows.tasks.build_request import BuildRequest, ScoreRequest
from molbuffer.samplers import Scorer
from molbuffer.scoring import Objective
from molbuffer.storage import BuildReceipt, SampleStore


def make_part(request: BuildRequest, attempt: Attempt) -> dict[str, Any]:
    """Make one chunk, which the process of the run commits; return its name, or the receipt of an earlier attempt."""
    with SampleStore.open(Path(request.store)) as store:
        return _make(store, request, attempt)


def make_part_on_cluster(request: BuildRequest, attempt: Attempt) -> dict[str, Any]:
    """Make one chunk in one of several processes, each of which uses one thread."""
    from molbuffer.lab import one_thread

    one_thread()
    return make_part(request, attempt)


def make_part_apart(request: BuildRequest, attempt: Attempt) -> dict[str, Any]:
    """Make one chunk in a process of one thread that ends with the run, and keep the store open between calls.

    The store stays open because DuckDB keeps a quarter of a megabyte for each store that was ever attached.
    """
    from molbuffer.lab import one_thread

    one_thread()
    return _make(_kept_store(request.store), request, attempt)


def _make(store: SampleStore, request: BuildRequest, attempt: Attempt) -> dict[str, Any]:
    from molbuffer.flows.campaign import reopen_campaign
    from molbuffer.flows.tasks.requested_chunk import chunk_of
    from molbuffer.lab import stage_chunk

    campaign = reopen_campaign(store, request.run_id, request.device, request.stage)
    made = stage_chunk(campaign.context, *chunk_of(campaign, request, attempt))
    return {"committed": made.to_json()} if isinstance(made, BuildReceipt) else {"staged": made}


def score_part(request: ScoreRequest) -> dict[str, int]:
    """Score molecules, and store each score within a second; return the numbers of molecules, computed and failed."""
    with SampleStore.open(Path(request.store)) as store:
        return _score(_scorer(store, request), request)


def score_part_apart(request: ScoreRequest) -> dict[str, int]:
    """Score molecules in a process that ends with the run, and keep the store and the components between calls."""
    return _score(_kept_scorer(replace(request, molecules=())), request)


@lru_cache(maxsize=4)
def _kept_scorer(request: ScoreRequest) -> Scorer:
    return _scorer(_kept_store(request.store), request)


@lru_cache(maxsize=1)
def _kept_store(path: str) -> SampleStore:
    return SampleStore.open(Path(path))


def _scorer(store: SampleStore, request: ScoreRequest) -> Scorer:
    objective = build_objective(run_settings(store, request.run_id, request.stage))
    wanted = [each for each in objective.components if each.component.name in request.components]
    # The gates of the components were checked before the request.
    alone = Objective([replace(each, weight=1.0, after=None) for each in wanted])
    return Scorer(alone, store, request.run_id, hands_over=True)


def _score(scorer: Scorer, request: ScoreRequest) -> dict[str, int]:
    scored = scorer.score(request.molecules)
    return {"molecules": len(scored.smiles), "computed": scored.computed, "failed": len(scored.errors)}
