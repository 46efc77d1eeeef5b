"""The metrics of every sampler, for both events.

drawn               drawn rows, rejected ones included
parseable           rows that are a molecule
kept                rows that passed every filter
diversity           different molecules / parseable; null when no row parses
duplicates          parseable − different molecules; null when no row parses
valid               kept / drawn; null when nothing was drawn
rewards             mean reward of the kept rows whose reward is complete; null without any
new                 share of the kept rows whose molecule occurs for the first time in the run, in row order, this build
                    included; null when none was kept. It is called new_approximate if other processes draw for the run
                    at the same time, whose uncommitted rows are not known
internal_diversity  mean of 1 − Tanimoto over the pairs of a sample of the kept rows; null for fewer than two
scaffolds           different Bemis-Murcko scaffolds / rows of the same sample; null when none was kept
shortfall           wanted rows that are missing
seconds             time from the first draw to the last score
policy_lag          for rows of the history: mean number of iterations since the run drew its own ones; null without own
                    rows. For rows of the buffer it is a metric of the batch.

A molecule that two samplers draw counts for each of them, since a build knows only its own rows. Only ``new`` depends
on other builds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from molbuffer.scoring import diversity_of
from molbuffer.storage import Metric, Reward, Samples, ScoreStatus

NEW, APPROXIMATE_NEW = "new", "new_approximate"
"""The names of the share of new molecules: exact, and approximate while other processes draw at the same time."""

MOST_COMPARED = 32
"""The largest number of kept rows that are compared with each other, since comparing all pairs of a batch would take
longer than drawing it. The mean over 496 pairs differs from that over all pairs by about 0.01."""


def sampler_metrics(
    samples: Samples,
    rewards: Sequence[Reward],
    wanted: int,
    seen: Callable[[Sequence[str]], set[str]],
    seconds: float,
    *,
    new: str = NEW,
) -> list[Metric]:
    """Return the metrics of one build.

    Args:
        samples: the rows of the build.
        rewards: the rewards of the kept rows.
        wanted: the number of rows to keep.
        seen: a function of molecules that returns those that occurred in the run before this build.
        seconds: the time from the first draw to the last score.
        new: the name of the share of new molecules.
    """
    parsed = [text for text in samples.smiles if text is not None]
    kept = [text for text, keep in zip(samples.smiles, samples.kept, strict=True) if keep and text is not None]
    different = len(set(parsed))
    complete = [reward.value for reward in rewards if reward.status is ScoreStatus.OK and reward.value is not None]
    compared = diversity_of(_spread(kept, MOST_COMPARED))
    metrics = {
        "drawn": len(samples),
        "parseable": len(parsed),
        "kept": len(kept),
        "diversity": different / len(parsed) if parsed else None,
        "duplicates": len(parsed) - different if parsed else None,
        "valid": len(kept) / len(samples) if len(samples) else None,
        "rewards": float(np.mean(complete)) if complete else None,
        new: _share_new(samples, seen),
        "internal_diversity": compared.internal,
        "scaffolds": compared.scaffolds,
        "shortfall": max(0, wanted - len(kept)),
        "seconds": seconds,
    }
    return [Metric(name, None if value is None else float(value)) for name, value in metrics.items()]


def with_new_counted(
    metrics: Sequence[Metric], samples: Samples, seen: Callable[[Sequence[str]], set[str]]
) -> list[Metric]:
    """Return the metrics of a build with ``new`` counted again, after all earlier builds are committed.

    Args:
        metrics: the metrics of ``sampler_metrics``, which may have been computed earlier.
        samples: the rows of the build.
        seen: a function of molecules that returns those that occurred in the run before this build.
    """
    share = Metric("new", _share_new(samples, seen))
    return [share if each.name == share.name else each for each in metrics]


def policy_lag(iteration: int, drawn_in: Sequence[int]) -> Metric:
    """Return the mean age of the stored rows that a build of an iteration refers to.

    Args:
        iteration: the iteration of the build.
        drawn_in: the iterations in which the run drew the rows.
    """
    return Metric("policy_lag", float(iteration - np.mean(drawn_in)) if drawn_in else None)


def _share_new(samples: Samples, seen: Callable[[Sequence[str]], set[str]]) -> float | None:
    occurred = seen([text for text in dict.fromkeys(samples.smiles) if text is not None])
    first = []
    for smiles, keep in zip(samples.smiles, samples.kept, strict=True):
        if smiles is None:
            continue
        if keep:
            first.append(smiles not in occurred)
        occurred.add(smiles)
    return float(np.mean(first)) if first else None


def _spread(rows: Sequence[str], n: int) -> Sequence[str]:
    """Return at most n of the rows, from the first to the last at equal distances."""
    return rows if len(rows) <= n else [rows[i * len(rows) // n] for i in range(n)]
