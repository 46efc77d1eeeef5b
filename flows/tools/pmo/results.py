"""The results of runs of the benchmark, computed from their stores by SQL."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from molbuffer.pages import area_under_best, mean_of_top
from molbuffer.scoring import PMO_PREFIX, Alerts, UnlikelyGroups, diversity_of, parse_smiles, property_value
from molbuffer.storage import RunKind, RunStatus, SampleStore

TOP = 100
"""The number of best molecules whose chemistry is assessed."""
CATALOGS = ("PAINS", "CHEMBL_Glaxo", "CHEMBL_SureChEMBL")
"""The catalogues of alerts that the code of PMO uses."""
_CALLS = """
    WITH kept AS (
        SELECT smiles, reward, row_number() OVER (ORDER BY iteration, event, sampler_order, chunk, "row") AS place
        FROM sample_history WHERE run_id = ? AND (kept OR rejected_by = 'improvement')
    )
    SELECT smiles, coalesce(max(reward), 0.0) AS reward FROM kept GROUP BY smiles ORDER BY min(place)"""
_DRAWN = """
    SELECT avg((smiles IS NOT NULL)::INTEGER) AS valid FROM sample_history
    WHERE run_id = ? AND policy_sha256 IS NOT NULL AND sampler_kind = 'model'"""
# A session begins when the run is started or resumed, and ends with its last commit, since a killed process records no
# end.
_SECONDS = """
    WITH happened AS (
        SELECT created, status IN ('started', 'resumed') AS begins FROM run_events WHERE run_id = ?
        UNION ALL SELECT created, false FROM builds WHERE run_id = ?
    ), sessions AS (
        SELECT created, sum(begins::INTEGER) OVER (ORDER BY created, begins DESC) AS session FROM happened
    )
    SELECT coalesce(sum(seconds), 0.0) FROM (
        SELECT epoch(max(created) - min(created)) AS seconds FROM sessions GROUP BY session
    )"""
_STATUS = "SELECT arg_max(status, created) FROM run_events WHERE run_id = ? AND status <> 'given'"
_RUNS = "SELECT run_id, name, seed, config FROM runs WHERE kind = ? AND starts_with(name, ?) ORDER BY created"


@dataclass(frozen=True)
class BenchResult:
    """The result of a run of the benchmark.

    Attributes:
        task: the task.
        seed: the seed.
        budget: the budget of oracle calls.
        calls: the number of oracle calls that the run has made.
        auc_top_1: the area under the curve of the best score, divided by the budget; for a run that has not finished,
            as if it ended now.
        auc_top_10: the same area for the mean of the best 10 scores.
        auc_top_100: the same area for the mean of the best 100 scores.
        top_1: the best score at the end.
        top_10: the mean of the best 10 scores at the end.
        top_100: the mean of the best 100 scores at the end.
        validity: the share of molecules among the strings that policies drew; None if they drew none.
        sa_score: the mean synthetic accessibility score of the best 100 molecules, from 1 (easy) to 10; None without
            molecules.
        alerts: the share of these with an alert of PAINS, Glaxo or SureChEMBL.
        unlikely: the share of these with a group that the filter ``unlikely_groups`` refuses.
        diversity: the internal diversity of these, 1 - the mean pairwise similarity; None for fewer than two.
        minutes: the minutes at work, summed over the sessions of the run.
        ended: whether the run has finished, by its budget or for another reason.
    """

    task: str
    seed: int
    budget: int
    calls: int
    auc_top_1: float
    auc_top_10: float
    auc_top_100: float
    top_1: float
    top_10: float
    top_100: float
    validity: float | None
    sa_score: float | None
    alerts: float | None
    unlikely: float | None
    diversity: float | None
    minutes: float
    ended: bool


def rewards_of_calls(store: SampleStore, run_id: str) -> list[float]:
    """Return the reward of each oracle call of a run, in the order of the calls; 0 where a score failed."""
    return [float(each) for each in store.query(_CALLS, [run_id])["reward"]]


def has_ended(store: SampleStore, run_id: str) -> bool:
    """Return whether a run has finished, and is neither running nor interrupted."""
    return bool(store.query(_STATUS, [run_id]).item() == RunStatus.FINISHED)


def results_of_folder(folder: Path) -> list[BenchResult]:
    """Return the results of all runs in a folder, sorted by task and seed; unfinished ones as they are now."""
    stores = sorted(path.parent for path in folder.glob("*/store.toml"))
    found = [result for path in stores for result in _results_of_store(path)]
    return sorted(found, key=lambda each: (each.task, each.seed))


def _results_of_store(path: Path) -> Iterator[BenchResult]:
    with SampleStore.open(path, read_only=True) as store:
        for run_id, name, seed, config in store.query(_RUNS, [RunKind.TRAIN, PMO_PREFIX]).rows():
            budget = json.loads(config)["campaign"]["max_oracle_calls"]
            yield _result(store, run_id, name.removeprefix(PMO_PREFIX), seed, budget)


def _result(store: SampleStore, run_id: str, task: str, seed: int, budget: int) -> BenchResult:
    calls = store.query(_CALLS, [run_id]).head(budget)
    rewards = [float(each) for each in calls["reward"]]
    best = calls.sort("reward", descending=True, maintain_order=True)["smiles"].head(TOP).to_list()
    seconds = store.query(_SECONDS, [run_id, run_id]).item()
    looks = _looks_of(best)
    return BenchResult(
        task=task,
        seed=seed,
        budget=budget,
        calls=len(rewards),
        auc_top_1=area_under_best(rewards, budget, 1),
        auc_top_10=area_under_best(rewards, budget, 10),
        auc_top_100=area_under_best(rewards, budget, 100),
        top_1=mean_of_top(rewards, 1) or 0.0,
        top_10=mean_of_top(rewards, 10) or 0.0,
        top_100=mean_of_top(rewards, 100) or 0.0,
        validity=store.query(_DRAWN, [run_id]).item(),
        sa_score=looks[0],
        alerts=looks[1],
        unlikely=looks[2],
        diversity=diversity_of(best).internal,
        minutes=float(seconds) / 60,
        ended=has_ended(store, run_id),
    )


def _looks_of(best: Sequence[str]) -> tuple[float | None, float | None, float | None]:
    """Return the mean SA score of molecules, the share with an alert, and the share with an unlikely group."""
    if not best:
        return None, None, None
    alerts, unlikely = Alerts(CATALOGS), UnlikelyGroups()
    molecules = [molecule for molecule in map(parse_smiles, best) if molecule is not None]
    scores = [property_value("sa_score", molecule) for molecule in molecules]
    with_alert = sum(not alerts.accepts(molecule) for molecule in molecules)
    odd = sum(not unlikely.accepts(molecule) for molecule in molecules)
    return sum(scores) / len(scores), with_alert / len(molecules), odd / len(molecules)
