"""The scorer: it looks up scores in the store before it computes them, and stores failed scores, too.

Scores of cheap components are computed together and committed with the build. A molecule is claimed before an expensive
component (``cost = "high"``) scores it, so that two processes never pay for the same molecule. Each expensive score is
committed within a second of its arrival, even if the build that asked for it fails. Components of one call are claimed,
computed and committed together.

A component is computed after the components that its gate needs. A molecule for which the gate is not open is not
looked up, claimed or scored by the component; its transformed value is ``otherwise``.

A lost score counts as failed for the rest of its run, and is computed again in the next run.

Components of the backlog (``Objective.backlog``) are left out of a build of the buffer, and computed later: molecules
without their scores are ``unknown`` until then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from molbuffer.samplers.scores.component_order import Group, groups_of
from molbuffer.samplers.scores.expensive import ClaimAhead, ClaimTiming, ExpensiveScores
from molbuffer.samplers.scores.new_scores import Computed, error_of, raw_values, stds_of, values_of, warn_of_range
from molbuffer.scoring import Objective, WeightedComponent, any_holds
from molbuffer.scoring.components import Component, claimed_as, score_many, score_together
from molbuffer.storage import ClaimWait, SampleStore, Score, ScoreStatus, new_claimant, release_ended

CLAIMED_TOGETHER = 512
"""The largest number of molecules that are claimed at once for a component that takes batches."""

Elsewhere = Callable[[Sequence[str], Sequence[str]], None]
"""A function by which other processes compute expensive scores and store them. Its arguments are the names of the
components of one call, and the molecules."""

Computes = Literal["all", "inline", "cheap", "nothing"]
"""The scores to compute if the store does not have them: all scores; ``inline``, those of components that are not of
the backlog; ``cheap``, those of components of low cost that are not of the backlog; or none."""


@dataclass(frozen=True)
class ScoredMolecules:
    """The scores of n distinct molecules.

    Attributes:
        smiles: the canonical SMILES [n].
        values: the raw values, float64 [n] by component name, in the order of ``smiles``; NaN where the score failed,
            or is not known.
        rewards: float64 [n], NaN where a score failed, or is unknown.
        new: the scores to commit with the build.
        errors: for molecules without a reward, the error of the first component that failed, with its name; by SMILES.
        gated: the molecules for which the gate of a component is not open, by the name of the component.
        unknown: the molecules that lack a score, since it was not to be computed, or another scorer computes it.
        lost: the molecules that have no reward only because a score was lost.
        computed: the number of computed scores, each of one molecule and component.
        stds: float64 [n] by component name, the standard deviations of ``values``; NaN where there is none.
    """

    smiles: Sequence[str]
    values: Mapping[str, NDArray[np.float64]]
    rewards: NDArray[np.float64]
    new: Sequence[Score] = ()
    errors: Mapping[str, str] = field(default_factory=dict)
    gated: Mapping[str, frozenset[str]] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()
    computed: int = 0
    stds: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()

    def pending(self) -> set[str]:
        """Return the molecules with a pending reward: they lack a score, or one was lost, and no score has failed."""
        return set((self.unknown - (self.errors.keys() - self.lost)) | self.lost)

    def reward_of(self) -> dict[str, float]:
        """Return the rewards by canonical SMILES."""
        return dict(zip(self.smiles, self.rewards.tolist(), strict=True))


@dataclass(frozen=True)
class Scorer:
    """A scorer of molecules under an objective, which looks up known scores in a store.

    Attributes:
        objective: the components and their aggregation.
        store: the store of known scores; None computes every score.
        run_id: the run that new expensive scores belong to.
        owner: the name in claims of expensive scores, unique to this scorer.
        pace: the intervals of claims and commits.
        again: whether failed scores are computed again, as if they were unknown.
        computes: the scores to compute if the store does not have them.
        of_backlog: whether the scorer works the backlog off: it does not wait for molecules that other scorers have
            claimed, and computes lost scores again, also in the same run.
        recorded: a function that another thread calls with expensive scores once they are stored.
        elsewhere: a function by which other processes compute expensive scores; None computes them in this process.
        hands_over: whether expensive scores are passed to another process, which commits them.
        ahead: the number of molecules to claim at once, by the version of the first component of a call; it is kept
            between calls of ``score``.
    """

    objective: Objective
    store: SampleStore | None = None
    run_id: str | None = None
    owner: str = field(default_factory=new_claimant)
    pace: ClaimTiming = ClaimTiming()
    again: bool = False
    computes: Computes = "all"
    of_backlog: bool = False
    recorded: Callable[[Sequence[Score]], None] = lambda _: None
    elsewhere: Elsewhere | None = None
    hands_over: bool = False
    ahead: dict[str, ClaimAhead] = field(default_factory=dict)

    def score(self, smiles: Sequence[str]) -> ScoredMolecules:
        """Return the scores and rewards of the distinct molecules, in the order of their first occurrence.

        Args:
            smiles: canonical SMILES.
        """
        distinct = list(dict.fromkeys(smiles))
        found: dict[str, dict[str, Score]] = {}
        values: dict[str, NDArray[np.float64]] = {}
        stds: dict[str, NDArray[np.float64]] = {}
        gated: dict[str, frozenset[str]] = {}
        unknown: set[str] = set()
        new: list[Score] = []
        computed = 0
        for group in self._groups:
            open_to = self._open(group[0], distinct, values)
            # A build computes all scores that it may, so that a failed molecule never gets to the backlog.
            asked = open_to if self.computes == "inline" else [text for text in open_to if text not in unknown]
            known = {each.component.name: self._look_up(each.component, asked) for each in group}
            missing = [text for text in asked if any(text not in scores for scores in known.values())]
            if not self._may_compute(group):
                unknown.update(missing)
            elif missing:
                scored = self._compute(group, missing)
                computed += sum(score.smiles not in known[score.component] for score in scored.computed)
                known = {name: scored.by_name[name] | scores for name, scores in known.items()}
                unknown.update(scored.missing(missing))
                new += [] if scored.stored else scored.computed
            for each in group:
                name = each.component.name
                found[name] = known[name]
                values[name] = values_of(each, distinct, known[name])
                stds[name] = stds_of(distinct, known[name])
                if each.gate is not None:
                    gated[name] = frozenset(distinct) - frozenset(open_to)
        errors, lost = self._errors(found)
        return ScoredMolecules(
            smiles=distinct,
            values={each.component.name: values[each.component.name] for each in self.objective.components},
            rewards=self.objective.rewards(values, stds),
            new=new,
            errors=errors,
            gated=gated,
            unknown=frozenset(unknown),
            computed=computed,
            stds=stds,
            lost=lost,
        )

    def open_to(self, weighted: WeightedComponent, smiles: Sequence[str]) -> list[str]:
        """Return the distinct molecules for which the gate of a component is open.

        Cheap scores that the gate needs are computed and stored; where an expensive one is unknown, the gate is not
        open.
        """
        distinct = list(dict.fromkeys(smiles))
        if weighted.gate is None:
            return distinct
        conditions = self.objective.open_where[weighted.component.name]
        names = {each.component for conjunction in conditions for each in conjunction}
        parts = [replace(each, weight=1.0) for each in self.objective.components if each.component.name in names]
        scored = replace(self, objective=Objective(parts), again=False, computes="cheap").score(distinct)
        if self.store is not None:
            self.store.record_scores(scored.new, run_id=self.run_id)
        return self._open(weighted, distinct, scored.values)

    @cached_property
    def _groups(self) -> list[Group]:
        """The components in the order in which they are computed.

        If expensive scores are only looked up, those without a gate come first, so that no cheap scores are computed
        for a molecule that has no expensive one yet.
        """
        groups = groups_of(self.objective, self.store)
        if self.computes == "cheap":
            return sorted(groups, key=lambda group: self._may_compute(group) or group[0].gate is not None)
        return groups

    def _may_compute(self, group: Group) -> bool:
        if self.computes == "cheap":
            return not self._is_expensive(group)
        if self.computes == "inline":
            return all(each.component.name not in self.objective.backlog for each in group)
        return self.computes == "all"

    def _is_expensive(self, group: Group) -> bool:
        """Return whether molecules are claimed before a call of the components, and scores are stored at once."""
        return any(each.component.cost == "high" or each.component.name in self.objective.backlog for each in group)

    def _open(
        self, weighted: WeightedComponent, smiles: list[str], values: Mapping[str, NDArray[np.float64]]
    ) -> list[str]:
        """Return the molecules for which the gate of a component is open."""
        if weighted.gate is None:
            return smiles
        where = any_holds(self.objective.open_where[weighted.component.name], values)
        return [text for text, is_open in zip(smiles, where.tolist(), strict=True) if is_open]

    def _errors(self, found: Mapping[str, Mapping[str, Score]]) -> tuple[dict[str, str], frozenset[str]]:
        """Return the errors of molecules without a reward by SMILES, and the molecules with lost scores only.

        Components whose values need a transform are warned of.
        """
        errors: dict[str, str] = {}
        lost, failed = set[str](), set[str]()
        for weighted in self.objective.components:
            name, scores = weighted.component.name, list(found[weighted.component.name].values())
            for score, value in zip(scores, raw_values(weighted, scores).tolist(), strict=True):
                if (error := error_of(weighted, score, value)) is not None:
                    errors.setdefault(score.smiles, f"{name}: {error}")
                    (lost if score.status is ScoreStatus.LOST else failed).add(score.smiles)
            warn_of_range(weighted, scores)
        return errors, frozenset(lost - failed)

    def _look_up(self, component: Component, smiles: Sequence[str]) -> dict[str, Score]:
        if self.store is None or not smiles:
            return {}
        lost_in = None if self.of_backlog else self.run_id
        found = self.store.find_scores(component.name, component.version, smiles, lost_in=lost_in)
        return {text: score for text, score in found.items() if score.status is ScoreStatus.OK or not self.again}

    def _look_up_all(self, components: Sequence[Component], smiles: Sequence[str]) -> dict[str, dict[str, Score]]:
        return {each.name: self._look_up(each, smiles) for each in components}

    def _compute(self, group: Group, smiles: Sequence[str]) -> Computed:
        """Compute the scores of molecules by the components of one call."""
        if self.store is not None and self._is_expensive(group):
            return self._score_expensive(self.store, group, smiles)
        scored = Computed(group)
        if len(group) == 1:
            scored.add(0, smiles, score_many(group[0].component, smiles))
        else:
            for text, raw in score_together([each.component for each in group], smiles):
                scored.add_each(text, raw)
        return scored

    def _score_expensive(self, store: SampleStore, group: Group, smiles: Sequence[str]) -> Computed:
        """Score the molecules that no other scorer has claimed, and wait for the others, unless ``of_backlog``.

        Claims of killed processes of this machine are released at once.
        """
        scored, waiting = Computed(group, stored=True), list(smiles)
        components = [each.component for each in group]
        if self.elsewhere is not None:
            self.elsewhere([each.name for each in components], waiting)
            found = {each.name: self._look_up(each, waiting) for each in components}
            scored.know(found)
            scored.computed += [score for of_component in found.values() for score in of_component.values()]
            # Molecules that the other processes have not scored are scored here.
            waiting = scored.missing(waiting)
            if not waiting:
                return scored
        wait = ClaimWait(store.claims, *claimed_as(components[0]))
        with ExpensiveScores(
            store=store,
            run_id=self.run_id,
            owner=self.owner,
            component=components[0],
            pace=self.pace,
            recorded=self.recorded,
            hands_over=self.hands_over,
        ) as expensive:
            while waiting:
                expensive.insist(partial(release_ended, store.claims, *claimed_as(components[0]), waiting))
                for text, raw in score_together(components, self._claimed(expensive, waiting, scored)):
                    expensive.put(scored.add_each(text, raw))
                waiting = [] if self.of_backlog else scored.missing(waiting)
                if waiting:
                    expensive.insist(partial(wait.note, waiting))
                    time.sleep(self.pace.poll_seconds)
                    scored.know(expensive.insist(partial(self._look_up_all, components, waiting)))
                    waiting = scored.missing(waiting)
        return scored

    def _claimed(self, expensive: ExpensiveScores, smiles: Sequence[str], scored: Computed) -> Iterator[str]:
        """Claim molecules shortly before they are scored, and yield those without a stored score.

        Scores that have been stored meanwhile are added to ``scored``.
        """
        components = [each.component for each in scored.group]
        together, pace = claimed_together(components[0]), self.pace.ahead_seconds
        ahead = self.ahead.setdefault(components[0].version, ClaimAhead(together, CLAIMED_TOGETHER, pace))
        start = 0
        while molecules := smiles[start : start + ahead.number]:
            claimed = time.monotonic()
            start += len(molecules)
            granted = expensive.claim(molecules)
            # Between the look-up and the claim another process may have finished and released a molecule.
            wanted = [text for text in molecules if text in granted]
            scored.know(expensive.insist(partial(self._look_up_all, components, wanted)))
            missing = scored.missing(wanted)
            expensive.release(set(wanted) - set(missing))
            yield from missing
            if missing:
                ahead.took(len(missing), time.monotonic() - claimed)


def claimed_together(component: Component) -> int:
    """Return the number of molecules that are claimed at once for a component: those of one call."""
    size = getattr(component, "batch_size", CLAIMED_TOGETHER if getattr(component, "batch", False) else 1)
    return min(CLAIMED_TOGETHER, max(1, int(size)))
