"""The context of a report, of which sections are made: the scope, its runs and objectives, and the options."""

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
"""The most objectives that a report shows in detail; it names the others."""


@dataclass(frozen=True)
class Reference:
    """A set of molecules with which the molecules of the store are compared.

    Attributes:
        name: the name for readers, such as that of the file.
        smiles: the SMILES of the molecules.
    """

    name: str
    smiles: Sequence[str]


@dataclass(frozen=True)
class ReportOptions:
    """The options of a report.

    Attributes:
        title: the title; None is the name of the store.
        store: the name of the store for readers, such as that of an archive that is unpacked to a temporary folder;
            None is the name of its folder.
        best: the number of best molecules with pictures.
        listed: the number of best molecules in the table.
        sampled: the number of molecules, chosen by a hash, of the diversity and of the map of chemical space.
        traded: the number of points of a trade-off, without those of the fronts.
        seed: the seed of the sample.
        reference: the molecules to compare with; None compares with none.
        align: the molecule that pictures are aligned to; None is the target of a component, or the most frequent
            scaffold.
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
    """The data of which the sections of a report are made.

    Attributes:
        scope: the runs at a snapshot.
        options: the options of the report.
        runs: the runs, the oldest first.
        objectives: the objectives that the report shows in detail, the last used first.
        others: further objectives of the scope.
        groups: the label of each run in charts, by its id; runs of one name, objective and kind, such as runs with
            different seeds, share a label.
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
        """The store at the snapshot."""
        return self.scope.store

    def runs_of(self, objective: ObjectiveFacts) -> list[RunFacts]:
        """Return the runs with an objective."""
        return [run for run in self.runs if run.objective_sha256 == objective.sha256]

    def groups_of(self, objective: ObjectiveFacts) -> dict[str, str]:
        """Return the labels of the runs with an objective, by the id of the run."""
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
        """The distinct labels of runs, in the order of the page, by which a label has the same colour in all charts."""
        return list(dict.fromkeys(self.groups.values()))

    def headings(self) -> bool:
        """Return whether the report has several objectives, so that each needs a heading."""
        return len(self.objectives) > 1


def context_of(scope: Scope, options: ReportOptions, objective: str | None = None) -> Context:
    """Return the context of a report.

    Args:
        scope: the runs.
        options: the options of the report.
        objective: the sha256 of the only objective to report on; None is all.
    """
    runs = list_run_facts(scope)
    known = [each for each in list_objectives(scope) if objective is None or each.sha256 == objective]
    shown = [each for each in known if each.rewarded or each.runs][:MOST_OBJECTIVES]
    return Context(
        scope=scope, options=options, runs=runs, objectives=shown, others=known[len(shown) :], groups=_groups(runs)
    )


def objective_named(scope: Scope, name: str) -> str:
    """Return the sha256 of an objective, given its start, the start of a run's id, or the name of a run.

    Raises:
        UnknownRunError: no objective or several objectives have this name.
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
    """Return the label of each run in charts: that of the run, or for several runs of one name the name and number."""
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
