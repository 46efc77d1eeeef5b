"""What the sections of a report are made from: the scope, its runs and objectives, and what the reader asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from molbuffer.pages.charts import short_labels
from molbuffer.pages.facts import (
    SHORT_ID,
    BestMolecule,
    MoleculeSample,
    ObjectiveFacts,
    RunFacts,
    Scope,
    best_molecules,
    list_objectives,
    list_run_facts,
    sample_molecules,
)
from molbuffer.storage import SampleStore, UnknownRunError

MOST_OBJECTIVES = 6
"""The most objectives that a report goes into; it names the others."""


@dataclass(frozen=True)
class Reference:
    """Molecules that those of the store are compared with.

    Attributes:
        name: what a reader calls them, such as the name of their file.
        smiles: the molecules.
    """

    name: str
    smiles: Sequence[str]


@dataclass(frozen=True)
class ReportOptions:
    """What a report is to be of.

    Attributes:
        title: its title; None is the name of the store.
        store: the name of the store for a reader; None is that of its folder, which says nothing of an unpacked
            archive.
        best: how many of the best molecules have pictures.
        listed: how many of the best molecules are in the table.
        sampled: how many molecules the diversity is computed of and the map has, chosen by a hash.
        traded: how many points a trade-off has, beside those of the fronts.
        seed: chooses the sample.
        reference: molecules to compare with; None without.
        align: a molecule that pictures are aligned to; None is the target of a component, or the commonest scaffold.
        molecule: the molecule whose descent is shown; None is the best one.
    """

    title: str | None = None
    store: str | None = None
    best: int = 24
    listed: int = 100
    sampled: int = 3_000
    traded: int = 2_000
    seed: int = 0
    reference: Reference | None = None
    align: str | None = None
    molecule: str | None = None


@dataclass(frozen=True)
class Context:
    """What sections are made from.

    Attributes:
        scope: the runs as of a snapshot.
        options: what the report is to be of.
        runs: the runs, the oldest first.
        objectives: those that the report goes into, the one that was used last first.
        others: further objectives of the scope.
        groups: what charts call each run; runs of one name and objective are one group, such as those of other seeds.
    """

    scope: Scope
    options: ReportOptions
    runs: Sequence[RunFacts]
    objectives: Sequence[ObjectiveFacts]
    others: Sequence[ObjectiveFacts]
    groups: dict[str, str]
    _best: dict[str, list[BestMolecule]] = field(default_factory=dict)
    _samples: dict[str, MoleculeSample] = field(default_factory=dict)

    @property
    def store(self) -> SampleStore:
        """The store as of the snapshot."""
        return self.scope.store

    def runs_of(self, objective: ObjectiveFacts) -> list[RunFacts]:
        """Return the runs whose own objective it is."""
        return [run for run in self.runs if run.objective_sha256 == objective.sha256]

    def groups_of(self, objective: ObjectiveFacts) -> dict[str, str]:
        """Return the groups of the runs whose own objective it is."""
        return {run.run_id: self.groups[run.run_id] for run in self.runs_of(objective)}

    def best_of(self, objective: ObjectiveFacts) -> list[BestMolecule]:
        """Return the best molecules under an objective, as many as the report needs."""
        if objective.sha256 not in self._best:
            wanted = max(1, self.options.best, self.options.listed)
            self._best[objective.sha256] = best_molecules(self.scope, objective.sha256, wanted)
        return self._best[objective.sha256]

    def sample_of(self, objective: ObjectiveFacts) -> MoleculeSample:
        """Return the sample of molecules with a reward under an objective."""
        if objective.sha256 not in self._samples:
            most, seed = self.options.sampled, self.options.seed
            self._samples[objective.sha256] = sample_molecules(self.scope, objective.sha256, most, seed=seed)
        return self._samples[objective.sha256]

    @property
    def all_groups(self) -> list[str]:
        """Every group once, in the order of the page: each has one colour in all charts."""
        return list(dict.fromkeys(self.groups.values()))

    def headings(self) -> bool:
        """Return whether what follows is of several objectives, so that each needs a heading."""
        return len(self.objectives) > 1


def context_of(scope: Scope, options: ReportOptions, objective: str | None = None) -> Context:
    """Return the context of a report.

    Args:
        scope: the runs.
        options: what the report is to be of.
        objective: the only objective, by its sha256; None for all that have rewards.
    """
    runs = list_run_facts(scope)
    known = [each for each in list_objectives(scope) if objective is None or each.sha256 == objective]
    shown = [each for each in known if each.rewarded or each.runs][:MOST_OBJECTIVES]
    return Context(
        scope=scope, options=options, runs=runs, objectives=shown, others=known[len(shown) :], groups=_groups(runs)
    )


def objective_named(scope: Scope, name: str) -> str:
    """Return the objective that the start of a sha256, of a run id, or the name of a run stands for.

    Raises:
        UnknownRunError: none or several have the name.
    """
    found = {each.sha256 for each in list_objectives(scope) if each.sha256.startswith(name)}
    found |= {
        run.objective_sha256
        for run in list_run_facts(scope)
        if run.objective_sha256 is not None and (run.name == name or run.run_id.startswith(name))
    }
    if len(found) != 1:
        what = ", ".join(sorted(sha256[:12] for sha256 in found)) or "none"
        raise UnknownRunError(
            f"{name!r} must be the start of the sha256 of one objective, or name runs of one, got {what}"
        )
    return found.pop()


def _groups(runs: Sequence[RunFacts]) -> dict[str, str]:
    """Return what charts call each run: a run by itself as tables do, and several of one name by their number."""
    keys = {run.run_id: (run.name, run.objective_sha256, run.kind) for run in runs}
    counts = Counter(keys.values())
    titles: dict[tuple[str, str | None, str], str] = {}
    for run in runs:
        key = keys[run.run_id]
        if key in titles:
            continue
        title = run.label if counts[key] == 1 else f"{run.name} ({counts[key]} runs)"
        if title in titles.values():
            title = f"{title}, {run.kind} of {(run.objective_sha256 or '')[:SHORT_ID]}"
        titles[key] = title
    labels = short_labels(list(titles.values()))
    return {run_id: labels[titles[key]] for run_id, key in keys.items()}
