"""The scorer: looks scores up in the store before it computes them, and stores failed ones, too.

Scores of cheap components are computed together and committed with the build. A molecule is claimed before an expensive
component (``cost = "high"``) scores it, so that two processes never pay for the same molecule. Each expensive score is
committed within a second of its arrival, whatever becomes of the build that asked for it. Components of one call are
claimed, computed and committed together.

Components are computed after those that their gates need. A molecule for which a gate is not open is not looked up,
claimed or scored by that component, and has its reward from the rule of the gate.

A score that the machinery lost counts as failed for the rest of its run, and is computed again in the next.

Components of the backlog (``Objective.backlog``) are left out of a build of the buffer, and computed later: molecules
that lack their scores are ``unknown`` until then.
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
"""The most molecules that a component of batches claims at once."""

Elsewhere = Callable[[Sequence[str], Sequence[str]], None]
"""Has others compute scores that cost, and store them: a function of the names of the components of one call, and of
the molecules."""

Computes = Literal["all", "inline", "cheap", "nothing"]
"""Which scores are computed that the store does not know: all, those of components that are not of the backlog, those
of components of low cost among these, or none."""


@dataclass(frozen=True)
class ScoredMolecules:
    """The scores of n distinct molecules.

    Attributes:
        smiles: the canonical SMILES [n].
        values: float64 [n] by component name, in the order of ``smiles``; NaN where the component failed, or was not
            asked.
        rewards: float64 [n], NaN where a component failed, or its score is unknown.
        new: the scores to commit with the build.
        errors: the reason by SMILES, where there is no reward: of the first component that failed, with its name.
        gated: the molecules that a component was not asked for, since its gate is not open, by its name.
        unknown: the molecules that lack a score which was not to be computed, or which another scorer computes.
        lost: the molecules without a reward because the machinery lost a score, and for no other reason.
        computed: how many scores were computed, each of one molecule and component.
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
        """Return the molecules whose reward is still to come: they lack a score, or the machinery lost one, and none
        has failed.
        """
        return set((self.unknown - (self.errors.keys() - self.lost)) | self.lost)

    def reward_of(self) -> dict[str, float]:
        """Return the reward by SMILES: rows are joined by identity, never by position."""
        return dict(zip(self.smiles, self.rewards.tolist(), strict=True))


@dataclass(frozen=True)
class Scorer:
    """Scores molecules under an objective; the store is its memory.

    Attributes:
        objective: the components and their aggregation.
        store: holds known scores; None computes every score.
        run_id: the run that new expensive scores belong to.
        owner: the name in claims of expensive scores, unique to this scorer.
        pace: the intervals of claims and commits.
        again: whether scores that failed are computed again, as if they were unknown.
        computes: which scores are computed that the store does not know.
        of_backlog: whether it works the backlog off: it leaves the molecules to others that these have claimed, and
            computes again what the machinery lost, in the same run too.
        recorded: called with expensive scores once they are stored, by another thread.
        elsewhere: has expensive scores computed by others; None computes them in this process.
        hands_over: whether expensive scores are handed over for another process to commit, and not committed.
        ahead: how many molecules are claimed at once, by the version of the first component of a call; a scorer that is
            used again goes on with what it knows.
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
        """Return the scores and rewards of the distinct molecules among canonical ``smiles``, in order of first
        occurrence.
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
            # A build computes what it can, so that a failure is known before the backlog pays for a molecule.
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
        """Return the molecules for which the gate of a component is open, by what its gate needs.

        Cheap scores that it needs are computed, and stored; where an expensive one is unknown, the gate is not open.
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

        Where expensive scores are only looked up, those without a gate come first: cheap scores of a molecule that
        stays without one would be computed for nothing.
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
        """Return whether molecules are claimed before a call of the components, and its scores stored at once."""
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
        """Return why molecules have no reward, and those of them for which only the machinery is to blame; warn of
        components whose values need a transform.
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
        """Score the molecules that no other scorer has claimed, and wait for the others, unless of the backlog.

        What a process of this machine had claimed when it was killed is taken at once.
        """
        scored, waiting = Computed(group, stored=True), list(smiles)
        components = [each.component for each in group]
        if self.elsewhere is not None:
            self.elsewhere([each.name for each in components], waiting)
            found = {each.name: self._look_up(each, waiting) for each in components}
            scored.know(found)
            scored.computed += [score for of_component in found.values() for score in of_component.values()]
            # What others have left, if anything, is computed here.
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
        """Yield the molecules that can be claimed, shortly before they are asked for; add those known by now."""
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
    """Return how many molecules are claimed at once for a component: those of one of its calls."""
    size = getattr(component, "batch_size", CLAIMED_TOGETHER if getattr(component, "batch", False) else 1)
    return min(CLAIMED_TOGETHER, max(1, int(size)))
