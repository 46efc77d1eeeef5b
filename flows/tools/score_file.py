"""Score a file of molecules under a configuration, with the filters and components of every line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

import polars as pl

from molbuffer.flows.campaign import build_filters, build_objective, build_standardisation
from molbuffer.flows.settings import Settings
from molbuffer.lab import FailedScoresError, described_run, score_molecules
from molbuffer.samplers import FileRow, MoleculeTable, Scorer, check_stored_scores
from molbuffer.scoring import Filter, Standardisation, commonest_error
from molbuffer.storage import RunKind, RunStatus, SampleStore

CHUNK_LINES = 2048
"""The number of lines that are scored together, and whose scores are stored before the next lines are scored."""


@dataclass(frozen=True)
class FileScorer:
    """A scorer of the lines of files, with the filters and the objective of a configuration.

    Molecules that a filter rejects are scored as well, since a user who scores a file wants all values.
    """

    scorer: Scorer
    filters: Sequence[Filter]
    standardisation: Standardisation

    @classmethod
    def of(cls, settings: Settings, store: SampleStore | None = None, run_id: str | None = None) -> FileScorer:
        """Make the scorer that a configuration describes; with a store, scores are looked up there, and stored under
        a started run.
        """
        scorer = Scorer(build_objective(settings), store, run_id, owner=run_id or "molbuffer score")
        return cls(scorer, build_filters(settings), build_standardisation(settings))

    def score(self, rows: Sequence[FileRow], progress: Callable[[int], None] = lambda _: None) -> pl.DataFrame:
        """Return a row for each line, in order.

        ``rejected_by`` is ``validity`` for a line that is no molecule, and null for one that passes every filter.
        Raw and transformed values and the reward are null where they are unknown, and ``error`` has the reason.

        Args:
            rows: the lines.
            progress: called with the number of lines that are done.
        """
        frames = [self._score_chunk([])]
        for start in range(0, len(rows), CHUNK_LINES):
            frames.append(self._score_chunk(rows[start : start + CHUNK_LINES]))
            progress(min(start + CHUNK_LINES, len(rows)))
        return pl.concat(frames)

    def _score_chunk(self, rows: Sequence[FileRow]) -> pl.DataFrame:
        scored = score_molecules(self.scorer, [row.smiles for row in rows], self.filters, self.standardisation)
        return scored.insert_column(0, pl.Series("line", [row.line for row in rows], pl.Int64))


def scoring_run(settings: Settings, store: SampleStore, run_id: str, source: Path) -> AbstractContextManager[RunStatus]:
    """Record the scoring of a file as a run, so that every score has a provenance.

    Raises:
        StaleScoresError: stored scores of a component are not those that it computes now.
    """
    objective = build_objective(settings)
    check_stored_scores(objective, store)
    return store.recorded_run(
        described_run(
            run_id,
            f"score {source.name}",
            RunKind.SCORE,
            settings.to_json(),
            settings.campaign.seed,
            objective=objective,
        )
    )


def with_columns_of_file(frame: pl.DataFrame, table: MoleculeTable) -> pl.DataFrame:
    """Return the rows of ``FileScorer.score``, joined by their line with the other columns of their file.

    The file's columns come last, in their order. A column without a name is called ``column_`` and its number among
    them; one whose name is taken gets the suffix ``_input``, ``_input_2`` and so on.

    """
    taken = [*frame.columns]
    for number, name in enumerate(table.others.column_names, 1):
        plain = name or f"column_{number}"
        names = chain([plain, f"{plain}_input"], (f"{plain}_input_{n}" for n in count(2)))
        taken.append(next(name for name in names if name not in taken))
    own = table.others.rename_columns(taken[len(frame.columns) :])
    lines = pl.Series("line", [row.line for row in table.rows], pl.Int64)
    others = pl.DataFrame([lines, *(pl.Series(name, own.column(name)) for name in own.column_names)])
    return frame.join(others, on="line", how="left", maintain_order="left")


def check_share(frame: pl.DataFrame, max_failed_share: float) -> None:
    """Refuse a result in which too many molecules have no reward, because a score failed or was lost.

    Args:
        frame: the rows of ``FileScorer.score``.
        max_failed_share: the largest share of the distinct molecules that may lack a reward.

    Raises:
        FailedScoresError: the share is larger.
    """
    molecules = frame.filter(pl.col("molecule").is_not_null()).unique("molecule", maintain_order=True)
    failed = molecules.filter(pl.col("error").is_not_null())
    commonest = commonest_error(failed.select("molecule", "error").iter_rows())
    if commonest is not None and len(failed) > max_failed_share * len(molecules):
        error, count = commonest
        message = (
            f"{len(failed)} of {len(molecules)} molecules have no reward, and campaign.max_failed_share = "
            f"{max_failed_share:g} allows no more; the commonest error ({count} of them): {error}"
        )
        raise FailedScoresError(message, len(failed), len(molecules), error)


def summary(frame: pl.DataFrame) -> str:
    """Return the numbers of kept and rejected lines, and the mean reward, in one line."""
    rejected: Mapping[str, int] = dict(
        frame.filter(pl.col("rejected_by").is_not_null()).group_by("rejected_by").len().sort("rejected_by").rows()
    )
    reasons = ", ".join(f"{name} {count}" for name, count in rejected.items())
    rewards = frame.filter(pl.col("rejected_by").is_null())["reward"]
    mean, failed = rewards.mean(), rewards.null_count()
    reward = f", mean reward {mean:.3f}" if isinstance(mean, float) else ""
    without = f", {failed} of them without a reward (see error)" if failed else ""
    return f"{len(frame)} lines: {len(rewards)} kept{reward}{without}" + (f"; refused by {reasons}" if rejected else "")
