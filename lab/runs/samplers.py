"""The samplers of a run of a lab, by their names, and the builds of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy

from molbuffer.lab.building import Chunk, chunk_rows, commit_chunk, publish_latents
from molbuffer.lab.context import RunContext
from molbuffer.lab.score_failures import ScoreFailures
from molbuffer.lab.training import Training
from molbuffer.samplers import BuildPlace, Policy, Sampler, SamplerSize, policy_files
from molbuffer.storage import BuildReceipt, Commit, Event, PolicyVersion
from molbuffer.training import BestAgent


class RunSamplers:
    """The samplers of a run.

    Args:
        context: the run.
        agent: returns the policy in training, from which samplers may draw.
        best: the best agent of the run.
    """

    def __init__(self, context: RunContext, agent: Callable[[], Policy], best: BestAgent) -> None:
        self._context, self._agent, self._best = context, agent, best
        self._samplers: dict[str, Sampler] = {}
        self._built: dict[tuple[int, str], list[BuildReceipt]] = {}

    def all(self) -> list[Sampler]:
        """Return the samplers, in the order in which they were added."""
        return list(self._samplers.values())

    def order(self, name: str) -> int:
        """Return the place of a sampler in the run, from 0."""
        return list(self._samplers).index(name)

    def built(self, name: str, iteration: int) -> list[BuildReceipt]:
        """Return the list of receipts of a sampler in an iteration, to which the caller may append."""
        return self._built.setdefault((iteration, name), [])

    def keep(self, sampler: Sampler, size: SamplerSize) -> None:
        """Add a copy of a sampler with a size, or replace the sampler of its name."""
        kept = copy(sampler)
        # Samplers are frozen, and a sampler of another package need not be a dataclass.
        object.__setattr__(kept, "size", size)
        self._samplers[sampler.name] = kept

    def take_sizes(self, samplers: Mapping[str, float] | Sequence[Sampler]) -> None:
        """Set the sizes of the samplers for a training.

        Args:
            samplers: the shares of a batch by sampler name, or samplers with a size.

        Raises:
            ValueError: a share is given for an unknown sampler.
        """
        if not isinstance(samplers, Mapping):
            for sampler in samplers:
                self.keep(sampler, sampler.size)
            return
        unknown = sorted(samplers.keys() - self._samplers.keys())
        if unknown:
            known = ", ".join(self._samplers) or "none"
            raise ValueError(
                f"no sampler of the run is called {unknown[0]!r}; the samplers that have built are: {known}. Build "
                "with it first, or give samplers=[...] with a size"
            )
        for name, sampler in self._samplers.items():
            self.keep(sampler, SamplerSize(sampler.size.buffer_size, samplers.get(name, 0.0)))

    def publish(self, sampler: Sampler) -> None:
        """Store the policies and latents that a sampler draws from, not the policy in training or the best agent."""
        store, run_id = self._context.store, self._context.run_id
        inner = getattr(sampler, "base_sampler", None)
        if isinstance(inner, Sampler):
            self.publish(inner)
        publish_latents([sampler], store, run_id)
        for name in ("policy", "output_model"):
            found = getattr(sampler, name, None)
            if not callable(found) or found in (self._agent, self._best) or not isinstance(policy := found(), Policy):
                continue
            sha256 = store.policies.add(policy_files(policy.model, policy.vocabulary))
            version = PolicyVersion(sha256, policy.kind, weights_kept=True)
            store.commit(Commit(policies=[version], message=f"policies of run {run_id}"))

    def count_in(self, training: Training) -> None:
        """Add the builds before the next batch of a training to its counts of rows, molecules and oracle calls."""
        iteration = training.loader.iteration
        if any(receipts for (at, _), receipts in self._built.items() if at == iteration):
            # Builds of an iteration come before its batch, including those of the method ``build``.
            training.seen.read(iteration, Event.SAMPLE_BATCH)
            if training.screener is not None:
                training.screener.read(BuildPlace(iteration, Event.SAMPLE_BATCH.value))
        for name in self._samplers:
            built = self.built(name, iteration)
            training.drawn.add(name, sum(receipt.drawn for receipt in built))
            if training.calls is not None:
                training.calls.read_builds(receipt.build_id for receipt in built)

    def make_chunks(
        self, context: RunContext, training: Training, failures: ScoreFailures, iteration: int, asked: Sequence[str]
    ) -> list[BuildReceipt]:
        """Make the build of an iteration; skip samplers that ``LabRun.build`` has already built with in it."""
        receipts: list[BuildReceipt] = []
        for order, (name, sampler) in enumerate(self._samplers.items()):
            if made := self.built(name, iteration):
                # The rows were counted when the training began, and the loader counts these receipts again.
                training.drawn.add(name, -sum(receipt.drawn for receipt in made))
                receipts += made
                continue
            rows = sampler.size.buffer_size_at(iteration)
            for number, wanted in enumerate(chunk_rows(rows, in_chunks=sampler.in_chunks)):
                chunk = Chunk(
                    iteration,
                    order,
                    number,
                    wanted,
                    drawn_before=training.drawn.of(name),
                    attempt_id=context.run_id,
                    asked=asked,
                )
                receipts.append(commit_chunk(context, sampler, chunk))
                failures.look()
        return receipts

    def draws_from_best(self, samplers: Mapping[str, float] | Sequence[Sampler]) -> bool:
        """Return whether a sampler of the run, or one that a training is given, draws from the best agent."""
        given = () if isinstance(samplers, Mapping) else samplers
        return any(self._is_of_best(each) for each in [*self._samplers.values(), *given])

    def best_that_stays(self) -> str | None:
        """Return the name of a sampler that draws from a best agent that can never change; None if there is none.

        The best agent never changes if no sampler draws live rows from the policy in training.
        """
        live = [each for each in self._samplers.values() if each.size.p_batch]
        if any(self._agent in (getattr(each, "policy", None), getattr(each, "output_model", None)) for each in live):
            return None
        return next((each.name for each in live if self._is_of_best(each)), None)

    def _is_of_best(self, sampler: Sampler) -> bool:
        return getattr(sampler, "policy", None) is self._best
