"""Builds of the buffer in chunks: draw, standardise, filter, score, and commit each chunk once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

from molbuffer.lab.context import RunContext
from molbuffer.lab.score_failures import ScoreFailures, warn_of_empty
from molbuffer.lab.training import Training, commit_drawn
from molbuffer.samplers import (
    CHUNK_ROWS,
    BuildPlace,
    BuildSpec,
    DecodedLatents,
    Sampler,
    SeenBefore,
    calls_before,
    latent_files,
    make_build,
)
from molbuffer.storage import Build, BuildReceipt, Commit, Event, PolicyVersion, SampleStore, make_build_id


@dataclass(frozen=True)
class Chunk:
    """One chunk of one sampler's build of the buffer.

    Attributes:
        iteration: the iteration of the build.
        sampler_order: the position of the sampler in the run, from 0.
        chunk: the number of the chunk, from 0.
        wanted: the number of kept rows.
        drawn_before: the number of rows that the sampler drew in the run before the first chunk of this build.
        flow_run_id: the Prefect flow run that makes the chunk; None without Prefect.
        task_run_id: the Prefect task run that makes the chunk; None without Prefect.
        attempt_id: identifies the attempt.
        asked: the molecules for which live draws of the iteration made oracle calls before the build, and which are not
            committed yet.
    """

    iteration: int
    sampler_order: int
    chunk: int
    wanted: int
    _: KW_ONLY
    drawn_before: int = 0
    flow_run_id: str | None = None
    task_run_id: str | None = None
    attempt_id: str = ""
    asked: Sequence[str] = ()


def chunk_rows(rows: int, *, in_chunks: bool = True, most: int | None = None) -> list[int]:
    """Return the kept rows of each chunk of a build.

    Args:
        rows: the number of kept rows of the build.
        in_chunks: split the rows into chunks; False makes one chunk of all.
        most: the most rows of a chunk; None is ``CHUNK_ROWS``.
    """
    size = (CHUNK_ROWS if most is None else most) if in_chunks else max(rows, 1)
    return [min(size, rows - start) for start in range(0, rows, size)]


def commit_chunk(context: RunContext, sampler: Sampler, chunk: Chunk) -> BuildReceipt:
    """Make and commit one chunk, unless an earlier attempt has committed it; return the receipt.

    The chunks of a build must be made one after another, since the budget of oracle calls and the metric ``new`` of a
    chunk depend on the rows of the earlier chunks.
    """
    made = make_chunk(context, sampler, chunk)
    return made if isinstance(made, BuildReceipt) else commit_made(context.store, made)


def make_chunk(context: RunContext, sampler: Sampler, chunk: Chunk) -> Build | BuildReceipt:
    """Make one chunk without committing it; if an earlier attempt has committed it, return its receipt instead."""
    store, run_id, event = context.store, context.run_id, Event.BUILD_BUFFER
    *earlier, build_id = (
        make_build_id(run_id, chunk.iteration, event, sampler.name, number) for number in range(chunk.chunk + 1)
    )
    receipts = {each.build_id: each for each in store.receipts(run_id, iteration=chunk.iteration, event=event)}
    if build_id in receipts:
        return receipts[build_id]
    seen = SeenBefore(
        store,
        run_id=run_id,
        iteration=chunk.iteration,
        event=event,
        sampler_order=chunk.sampler_order,
        chunk=chunk.chunk,
    )
    spec = BuildSpec(
        run_id=run_id,
        iteration=chunk.iteration,
        event=event,
        sampler_order=chunk.sampler_order,
        wanted=chunk.wanted,
        campaign_seed=context.seed,
        chunk=chunk.chunk,
        flow_run_id=chunk.flow_run_id,
        task_run_id=chunk.task_run_id,
        attempt_id=chunk.attempt_id,
        drawn_before=chunk.drawn_before + sum(receipts[each].drawn for each in earlier if each in receipts),
    )
    calls = None
    if context.max_oracle_calls is not None:
        calls = calls_before(
            store,
            context.max_oracle_calls,
            run_id=run_id,
            iteration=chunk.iteration,
            sampler_order=chunk.sampler_order,
            chunk=chunk.chunk,
            pairs=context.template is not None,
            uncommitted=chunk.asked,
        )
    if (screener := context.screener()) is not None:
        screener.read(spec.place)
    return make_build(sampler, spec, context.pipeline(seen, calls, screener, backlog=True))


def commit_made(store: SampleStore, build: Build) -> BuildReceipt:
    """Commit a chunk that ``make_chunk`` returned; return its receipt."""
    message = f"build_buffer of {build.sampler}, iteration {build.iteration}, chunk {build.chunk}"
    return store.commit(Commit(builds=[build], message=message)).builds[0]


def latent_versions(samplers: Sequence[Sampler]) -> dict[str, str]:
    """Return the sha256 of the present latents of samplers that decode latent vectors, by the name of the sampler."""
    return {each.name: each.latent_sha256 for each in samplers if each.latent_sha256 is not None}


def publish_latents(samplers: Sequence[Sampler], store: SampleStore, run_id: str) -> dict[str, str]:
    """Store the latents of each sampler, so that any process can draw from them; return their sha256 by sampler."""
    versions = []
    for sampler in samplers:
        if isinstance(sampler, DecodedLatents):
            source = sampler.latents.source
            sha256 = store.policies.add(latent_files(source))
            versions.append(PolicyVersion(sha256, source.kind, run_id=run_id, iteration=0, weights_kept=True))
    if versions:
        store.commit(Commit(policies=versions, message=f"latents of run {run_id}"))
    return latent_versions(samplers)


MakeChunks = Callable[[int, str, Mapping[str, str], Sequence[str]], Sequence[BuildReceipt]]
"""A function that makes the chunks of a build. Its arguments are the iteration, the sha256 of the policy in training,
which the store keeps, the sha256 of the latents by the names of samplers, and the molecules for which live draws of the
iteration made oracle calls and which are not committed yet.
"""


@dataclass
class BufferBuilder:
    """A builder of the buffer of a training, with the present policy.

    Attributes:
        training: the training.
        failures: ends the run when too many scores fail.
        make_chunks: makes the chunks of a build.
    """

    training: Training
    failures: ScoreFailures
    make_chunks: MakeChunks
    _published: frozenset[str] = frozenset()

    def __call__(self, iteration: int) -> Sequence[BuildReceipt]:
        """Store the present policy, so that any process can draw with it, and make all chunks; return their receipts.

        Raises:
            FailedScoresError: too many scores have failed.
        """
        live = self.training.loader.live
        # The metric ``new`` of the build depends on all earlier rows, which must be committed.
        if commit_drawn(self.training):
            self._published = self._present(iteration)
        agent = self._publish(iteration)
        latents = latent_versions(live.samplers if live is not None else ())
        calls = self.training.calls
        receipts = self.make_chunks(iteration, agent, latents, () if calls is None else calls.asked_in(iteration))
        self.failures.judge()
        # Rows of earlier builds may be enough for the batch; otherwise the loader ends the run.
        warn_of_empty(self.failures.context, receipts, self.failures.warn)
        self.training.seen.read(iteration, Event.SAMPLE_BATCH)
        if calls is not None:
            calls.read(iteration, Event.SAMPLE_BATCH)
        if self.training.screener is not None:
            self.training.screener.read(BuildPlace(iteration, Event.SAMPLE_BATCH.value))
        return receipts

    def _publish(self, iteration: int) -> str:
        """Store the present policy and latents, unless this was done before; return the sha256 of the policy."""
        learner, trainables, writer = self.training.learner, self.training.trainables, self.training.writer
        store, run_id = writer.store, writer.run_id
        if (present := self._present(iteration)) != self._published:
            version = learner.publish(store.policies, run_id, iteration)
            others = trainables.publish(store.policies, run_id, iteration)
            message = f"policy of run {run_id}, iteration {iteration}"
            store.commit(Commit(policies=[version, *others.values()], message=message))
            self._published = present
        return learner.policy().sha256

    def _present(self, iteration: int) -> frozenset[str]:
        """Return the sha256 of the present policy and latents."""
        run_id = self.training.writer.run_id
        versions = self.training.trainables.versions(run_id, iteration)
        return frozenset({self.training.learner.policy().sha256, *(version.sha256 for version in versions)})
