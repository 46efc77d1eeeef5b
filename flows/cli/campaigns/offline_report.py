"""The report of an offline training as a table, which compares the policy with the data that it learned from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from molbuffer.flows.cli.common.output import table

_ROWS = {
    "rows": "rows / draws",
    "mean": "mean reward",
    "top_10": "mean of the best 10",
    "top_100": "mean of the best 100",
    "uniqueness": "uniqueness",
    "internal_diversity": "internal diversity",
    "validity": "validity",
    "novelty": "novelty",
}


def report_text(report: Mapping[str, Any]) -> str:
    """Return the report of an offline training as a table and lines of text.

    Args:
        report: the entry ``report`` of the result of ``train_offline``, as JSON values.
    """
    policy = report["policy"] or {}
    sides = {"stored rows": report["data"], "the last 1,000": report["last"], "fresh draws of the policy": policy}
    rows = [[title, *(side.get(key) for side in sides.values())] for key, title in _ROWS.items()]
    lines = [table(["", *sides], [row for row in rows if any(value is not None for value in row[1:])])]
    if report["validation_loss"] is not None:
        best = f"the policy is the best by {report['criterion']}, from step {report['best_iteration']}"
        lines.append(f"loss of {report['held_out']} held-out rows: {report['validation_loss']:.4g}; {best}")
    of = report["off_policy"]
    if of["mean"] is not None:
        lines.append(
            f"off-policy estimate of the mean reward: {of['mean']:.3f} ({of['low']:.3f} to {of['high']:.3f}), "
            f"effective sample size {of['effective_sample_size']:.0f} of {of['rows']} held-out rows"
        )
    if (done := report["relabelled"]) is not None:
        lines.append(
            f"relabelled: {done['rewarded']} of {done['rows']} rows without a reward have one now, by "
            f"{done['oracle_calls']} computed scores of {done['molecules']} molecules ({done['left_out']} left out, "
            f"{done['failed']} failed)"
        )
    return "\n".join([*lines, *report["notes"]])
