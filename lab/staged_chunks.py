"""Chunks that several processes make at the same time, and that one process commits in their order.

A chunk is a function of the run and its number: its seed follows from both, its filters do not depend on other rows,
and a score of a molecule is the same in every process. Only two facts of a build depend on earlier builds: its metric
``new``, and which scores it is the first to store. Both are computed when the build is committed, and builds are
committed in the order of their rows. Therefore the store has at each moment the same content as if one process made
chunk after chunk.

With some settings, the draws and scores of a chunk depend on earlier chunks; ``made_in_turn`` names these settings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from molbuffer.lab.building import Chunk, commit_made, make_chunk
from molbuffer.lab.context import RunContext
from molbuffer.samplers import Sampler, SeenBefore, epoch_sampler, unknown_scores, with_new_counted
from molbuffer.storage import BuildReceipt


def made_in_turn(context: RunContext, samplers: Iterable[Sampler]) -> str | None:
    """Return the setting that makes a chunk of a build depend on earlier chunks; None if there is none.

    Args:
        context: the run.
        samplers: the samplers that fill the buffer.
    """
    if context.max_oracle_calls is not None:
        return "max_oracle_calls"
    if context.screening is not None:
        return "screening"
    if any(each.unique == "run" for each in samplers):
        return 'unique = "run"'
    # The first score of a molecule counts, and would be that of the process that is first by chance.
    if not all(getattr(each.component, "deterministic", True) for each in context.objective.components):
        return "deterministic = false"
    return None


def needs_chunk_before(sampler: Sampler, chunk: int) -> bool:
    """Return whether a chunk of a sampler begins at the end of the chunk before it, as a chunk of a file does."""
    return chunk > 0 and epoch_sampler(sampler) is not None


def stage_chunk(context: RunContext, sampler: Sampler, chunk: Chunk) -> str | BuildReceipt:
    """Make one chunk for another process to commit; return its name, or its receipt if it is already committed."""
    made = make_chunk(context, sampler, chunk)
    return made if isinstance(made, BuildReceipt) else context.store.stage(made)


def commit_staged(context: RunContext, name: str) -> BuildReceipt:
    """Commit a staged chunk; return its receipt. All earlier chunks in the order of rows must be committed before."""
    store, build = context.store, context.store.staged(name)
    seen = SeenBefore(
        store,
        run_id=build.run_id,
        iteration=build.iteration,
        event=build.event,
        sampler_order=build.sampler_order,
        chunk=build.chunk,
    )
    settled = replace(
        build,
        metrics=with_new_counted(build.metrics, build.samples, seen),
        scores=unknown_scores(store, build.scores, build.run_id),
    )
    receipt = commit_made(store, settled)
    store.drop_staged(name)
    return receipt
