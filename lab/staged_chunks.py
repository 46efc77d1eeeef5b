"""Chunks that are made at the same time, by any processes, and committed in their order by one.

A chunk is a function of the run and its number: its seed follows from them, its filters know no other rows, and a
score of a molecule is the same whoever computes it. Two facts of a build depend on those before it: its metric ``new``,
and which scores it is the first to store. They are settled when it is committed, and builds are committed in the order
of their rows. So what is stored is at each moment what one process would have stored that makes chunk after chunk.

Some settings make a chunk depend on the chunks before it in what it draws and scores; ``made_in_turn`` names them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from molbuffer.lab.building import Chunk, commit_made, make_chunk
from molbuffer.lab.context import RunContext
from molbuffer.samplers import Sampler, SeenBefore, epoch_sampler, unknown_scores, with_new_counted
from molbuffer.storage import BuildReceipt


def made_in_turn(context: RunContext, samplers: Iterable[Sampler]) -> str | None:
    """Return the setting by which each chunk of a build needs the chunks before it; None if there is none.

    Args:
        context: the run.
        samplers: those that fill the buffer.
    """
    if context.max_oracle_calls is not None:
        return "max_oracle_calls"
    if context.screening is not None:
        return "screening"
    if any(each.unique == "run" for each in samplers):
        return 'unique = "run"'
    # The first score of a molecule counts, and would be that of whoever is first.
    if not all(getattr(each.component, "deterministic", True) for each in context.objective.components):
        return "deterministic = false"
    return None


def needs_chunk_before(sampler: Sampler, chunk: int) -> bool:
    """Return whether a chunk of a sampler begins where the one before it ended, as that of a file does."""
    return chunk > 0 and epoch_sampler(sampler) is not None


def stage_chunk(context: RunContext, sampler: Sampler, chunk: Chunk) -> str | BuildReceipt:
    """Make one chunk for another process to commit, and return its name; its receipt if it is committed already."""
    made = make_chunk(context, sampler, chunk)
    return made if isinstance(made, BuildReceipt) else context.store.stage(made)


def commit_staged(context: RunContext, name: str) -> BuildReceipt:
    """Commit a chunk that was staged, after those that come before it in the order of rows."""
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
