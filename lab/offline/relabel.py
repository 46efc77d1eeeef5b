"""Relabelling: rewards of stored rows under another objective than they were drawn for.

Scores are read from the run's own store, else from the source, and only then computed by the components. New scores are
stored in the own store. Rewards of rows in the own store are stored beside the old ones (R4). Rewards of rows in other
stores and in archives, which cannot be written to, are computed from the stored scores each time the rows are read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from molbuffer.lab.context import RunContext
from molbuffer.lab.offline.rows import OfflineRows, RowSource
from molbuffer.samplers import Scorer
from molbuffer.storage import Reward, SampleStore, ScoreStatus

SCORED_TOGETHER = 1024
"""The number of molecules that are scored together; their scores are stored before those of the next are computed."""

_LACKING = """
    SELECT samples.build_id, samples."row" AS "row", samples.smiles, samples.source_smiles FROM {samples} AS samples
    [matching]
    ANTI JOIN (SELECT build_id, "row" FROM {rewards} WHERE objective_sha256 = ? AND status = 'ok') AS good
        ON good.build_id = samples.build_id AND good."row" = samples."row"
    WHERE samples.kept AND samples.smiles IS NOT NULL
        AND samples.build_id NOT IN (SELECT build_id FROM {builds} WHERE event = 'evaluation')
    ORDER BY samples.build_id, samples."row" """
_MATCHING = """SEMI JOIN matching ON matching.build_id = samples.build_id AND matching."row" = samples."row" """


@dataclass(frozen=True)
class Relabelled:
    """The result of a relabelling, in numbers.

    Attributes:
        rows: the number of rows that had no reward under the objective.
        rewarded: the number of these rows that have a reward now.
        molecules: the number of different molecules of these rows, sources of pairs included.
        oracle_calls: the number of scores that were computed, each of one molecule and component.
        left_out: the number of molecules without a stored score of an expensive component, which was not computed.
        failed: the number of molecules with a failed score.
    """

    rows: int = 0
    rewarded: int = 0
    molecules: int = 0
    oracle_calls: int = 0
    left_out: int = 0
    failed: int = 0

    def __add__(self, other: Relabelled) -> Relabelled:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Relabelled(*(mine + others for mine, others in pairs))


def relabel_rows(
    context: RunContext,
    rows: OfflineRows,
    where: str | None,
    *,
    expensive: bool,
) -> Relabelled:
    """Give stored rows rewards under the objective of a run, by computing the scores that they lack.

    Args:
        context: the run that new scores and rewards belong to.
        rows: the sources.
        where: an SQL condition on ``sample_history``, in which ``reward`` is the reward that the row was drawn for.
        expensive: compute components with ``cost = "high"``; otherwise only their stored scores count.
    """
    done, before = Relabelled(), set[str]()
    for source in rows.sources:
        lacking = lacking_rows(context, source, source.store.snapshot(), where)
        done += _relabel(context, source, lacking, before, expensive=expensive)
    return done


def lacking_rows(context: RunContext, source: RowSource, newest: int, where: str | None) -> pa.Table:
    """Return the kept rows of a source that have no reward: columns build_id, row, smiles, source_smiles.

    Args:
        context: the run, with the objective.
        source: the source.
        newest: the snapshot to read if the source has none.
        where: an SQL condition on ``sample_history``; None is all rows.
    """
    snapshot = newest if source.snapshot is None else source.snapshot
    matching = {} if where is None else {"matching": source.store.matching_rows(where, snapshot)}
    sql = _LACKING.replace("[matching]", _MATCHING if matching else "")
    return source.store.read_arrow(sql, snapshot=snapshot, parameters=[context.objective_sha256], **matching)


def rewards_of(context: RunContext, lacking: pa.Table, known: SampleStore) -> pa.Table:
    """Return the rewards of rows by the scores in a store, without computing any: columns build_id, row, value.

    Args:
        context: the run, with the objective.
        lacking: rows, as ``lacking_rows`` returns them.
        known: a store with scores, or one snapshot of it.
    """
    scored = Scorer(context.objective, known, computes="nothing").score(_molecules(lacking, context))
    return _rewards(context, lacking, scored.reward_of())


def _relabel(
    context: RunContext,
    source: RowSource,
    lacking: pa.Table,
    before: set[str],
    *,
    expensive: bool,
) -> Relabelled:
    """Relabel the rows of a source; molecules in ``before`` do not count again, and its own are added to ``before``."""
    molecules = _molecules(lacking, context)
    counts = Relabelled(rows=lacking.num_rows, molecules=len(set(molecules) - before))
    rewards: dict[str, float] = {}
    for start in range(0, len(molecules), SCORED_TOGETHER):
        part = molecules[start : start + SCORED_TOGETHER]
        found, more = _score(context, source, part, before, expensive=expensive)
        rewards |= found
        counts += more
    before.update(molecules)
    table = _rewards(context, lacking, rewards)
    if source.is_own:
        context.store.add_rewards_of_builds(_by_build(table, context.objective_sha256), context.run_id)
    return replace(counts, rewarded=table.num_rows)


def _score(
    context: RunContext, source: RowSource, molecules: Sequence[str], before: set[str], *, expensive: bool
) -> tuple[dict[str, float], Relabelled]:
    """Compute and store the scores that molecules lack; return their rewards and the counts of the relabelling.

    Molecules in ``before``, of earlier sources, are not counted again.
    """
    store = context.store
    if not source.is_own:
        for weighted in context.objective.components:
            _bring(context, source, weighted.component.name, weighted.component.version, molecules)
    scorer = Scorer(context.objective, store, context.run_id, computes="all" if expensive else "cheap")
    scored = scorer.score(molecules)
    store.record_scores(scored.new, run_id=context.run_id)
    rewards = {text: reward for text, reward in scored.reward_of().items() if not math.isnan(reward)}
    left_out, failed = scored.unknown - before, set(molecules) - scored.unknown - rewards.keys() - before
    return rewards, Relabelled(oracle_calls=scored.computed, left_out=len(left_out), failed=len(failed))


def _bring(context: RunContext, source: RowSource, component: str, version: str, molecules: Sequence[str]) -> None:
    """Copy the good scores that only the source has to the own store."""
    known = context.store.find_scores(component, version, molecules, lost_in=context.run_id)
    found = source.store.find_scores(component, version, [text for text in molecules if text not in known])
    good = [score for score in found.values() if score.status is ScoreStatus.OK]
    context.store.record_scores(good, run_id=context.run_id)


def _molecules(lacking: pa.Table, context: RunContext) -> list[str]:
    """Return the different molecules of rows; under an objective of pairs, those of the sources, too."""
    names = ["smiles", "source_smiles"] if _of_pairs(context) else ["smiles"]
    return list(dict.fromkeys(text for name in names for text in lacking[name].to_pylist() if text is not None))


def _of_pairs(context: RunContext) -> bool:
    return context.objective_sha256 != context.objective.sha256


def _rewards(context: RunContext, lacking: pa.Table, reward_of: Mapping[str, float]) -> pa.Table:
    """Return the rewards of the rows that have one: columns build_id, row, value."""
    values = np.array([reward_of.get(text, math.nan) for text in lacking["smiles"].to_pylist()], np.float64)
    if _of_pairs(context):
        assert context.template is not None
        sources = [reward_of.get(text or "", math.nan) for text in lacking["source_smiles"].to_pylist()]
        values = context.template.rewards(np.array(sources, np.float64), values)
    table = lacking.select(["build_id", "row"]).append_column("value", pa.array(values))
    return table.filter(pa.array(~np.isnan(values)))


def _by_build(rewards: pa.Table, objective_sha256: str) -> dict[str, list[Reward]]:
    of_builds: dict[str, list[Reward]] = {}
    columns = [rewards[name].to_pylist() for name in ("build_id", "row", "value")]
    for build_id, row, value in zip(*columns, strict=True):
        of_builds.setdefault(build_id, []).append(Reward(row, objective_sha256, value))
    return of_builds
