"""The objectives of rows whose rewards are pending, from the stored settings of the runs that drew them."""

from __future__ import annotations

import json
from collections.abc import Iterator

from molbuffer.flows.campaign.assemble import build_objective, build_template
from molbuffer.flows.settings import ConfigurationError, Settings
from molbuffer.kinds import KindError
from molbuffer.lab import BacklogError, FindBacklog
from molbuffer.samplers import Backlog, check_stored_scores
from molbuffer.scoring import Objective, ScoringError
from molbuffer.storage import PendingCount, Run, SampleStore

_THERE = "make it available at the same place as where the run was made, or score on a host that has it"


def backlogs_of_runs(store: SampleStore) -> FindBacklog:
    """Return a function that finds the objective of pending rows: that of their run, or of the stage that drew them.

    The function raises BacklogError where this host cannot make the objective, or makes another one because a function,
    a program or a file of it differs.
    """

    def find(count: PendingCount) -> Backlog:
        run = store.run(count.run_id)
        if "campaign" not in json.loads(run.config):
            raise BacklogError(
                "the run was made from Python, and the store does not have its objective; score its rows in Python "
                "with lab.score_pending(objective)"
            )
        try:
            objectives = list(_objectives(run, store))
        except (ConfigurationError, KindError, ScoringError) as error:
            raise BacklogError(f"its objective cannot be made on this host: {error}\n{_THERE}") from error
        for backlog in objectives:
            if count.objective_sha256 in backlog.objectives:
                try:
                    check_stored_scores(backlog.objective, store)
                except ScoringError as error:
                    raise BacklogError(str(error)) from error
                return backlog
        raise BacklogError(
            f"its objective is another one on this host: {_difference(store, run, objectives)}; {_THERE}"
        )

    return find


def _objectives(run: Run, store: SampleStore) -> Iterator[Backlog]:
    settings = Settings.from_json(run.config)
    for each in (settings, *(settings.of_stage(number) for number in range(len(settings.stages)))):
        yield Backlog(build_objective(each), store, build_template(each))


def _difference(store: SampleStore, run: Run, found: list[Backlog]) -> str:
    """Return a text that names the components whose versions differ from those recorded with the run."""
    recorded = store.read_arrow(
        "SELECT component, version FROM {objectives} WHERE objective_sha256 = ?", parameters=[run.objective_sha256]
    ).to_pylist()
    here = _versions(found[0].objective)
    other = [each["component"] for each in recorded if here.get(each["component"]) != each["version"]]
    if not other:
        return "its transforms or weights differ from those that were recorded"
    return f"the sources, files or packages of {', '.join(other)} are not those of the run"


def _versions(objective: Objective) -> dict[str, str]:
    return {part.component.name: part.component.version for part in objective.components}
