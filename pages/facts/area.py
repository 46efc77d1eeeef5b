"""The area under the curve of the best rewards over oracle calls, as the code of PMO computes it.

Gao, Fu, Sun, Coley, "Sample Efficiency Matters: A Benchmark for Practical Molecular Optimization", NeurIPS 2022, and
``top_auc`` of ``main/optimizer.py`` in github.com/wenhao-gao/mol_opt.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

CALLS_BETWEEN = 100
"""The number of calls between two points of the curve."""


def area_under_best(rewards: Sequence[float], budget: int, top: int = 10) -> float:
    """Return the area under the mean of the best rewards over the calls, divided by the budget: in [0, 1].

    The curve begins at 0 before the first call. It has a point after every ``CALLS_BETWEEN`` calls and after the last
    call, connected by straight lines. A run that ends before its budget keeps its last value up to the budget.

    Args:
        rewards: the reward of each call [n], one for each different molecule, in the order of the calls; calls beyond
            the budget do not count. NaN is a call without a reward, because the score failed.
        budget: the number of calls that the run may make.
        top: the number of best molecules; while there are fewer, their mean counts.
    """
    made = rewards[:budget]
    if not made:
        return 0.0
    best: list[float] = []
    area = before = 0.0
    last = 0
    for call, reward in enumerate(made, 1):
        if not math.isnan(reward):
            (heapq.heappush if len(best) < top else heapq.heappushpop)(best, reward)
        if call % CALLS_BETWEEN == 0 or call == len(made):
            now = sum(best) / len(best) if best else 0.0
            area += (call - last) * (before + now) / 2
            before, last = now, call
    return (area + (budget - len(made)) * before) / budget


def mean_of_top(rewards: Sequence[float], top: int) -> float | None:
    """Return the mean of the ``top`` best rewards, or of as many as there are, without NaN; None without rewards."""
    best = heapq.nlargest(top, (reward for reward in rewards if not math.isnan(reward)))
    return sum(best) / len(best) if best else None
