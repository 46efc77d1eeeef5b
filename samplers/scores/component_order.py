"""The order in which the components of an objective are computed: gates first, then by cost, and calls together.

The order has no effect on any score or reward. It decides only which scores are known before an expensive component.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from molbuffer.scoring import Objective, WeightedComponent
from molbuffer.scoring.components import claimed_as
from molbuffer.storage import SampleStore

_SECONDS = """SELECT component, version, avg(seconds) AS seconds FROM {scores}
    SEMI JOIN wanted USING (component, version) WHERE status = 'ok' GROUP BY ALL"""

Group = list[WeightedComponent]
"""Components of one call with the same gate, or a single component."""


def groups_of(objective: Objective, store: SampleStore | None) -> list[Group]:
    """Return the components of an objective in the order in which they are computed.

    A component comes after the components that its gate needs. Of the components that may come next, low cost comes
    before high cost, then a shorter mean time of the stored scores, then the order of the configuration.
    """
    groups = _together(objective.components)
    if len(groups) < 2:
        return groups
    seconds = _seconds(objective, store)
    waiting = sorted(
        groups,
        key=lambda group: (
            any(each.component.cost == "high" or each.component.name in objective.backlog for each in group),
            max(seconds.get((each.component.name, each.component.version), 0.0) for each in group),
        ),
    )
    ordered: list[Group] = []
    while waiting:
        done = {each.component.name for group in ordered for each in group}
        following = next(group for group in waiting if set(_needed(group)) <= done)
        ordered.append(following)
        waiting.remove(following)
    return ordered


def _together(components: Sequence[WeightedComponent]) -> list[Group]:
    """Return the components in groups of those that are claimed together and have the same gate."""
    groups: dict[object, Group] = {}
    for each in components:
        gate = None if each.gate is None else each.gate.alternatives
        groups.setdefault((claimed_as(each.component), gate), []).append(each)
    return list(groups.values())


def _needed(group: Group) -> Sequence[str]:
    return () if group[0].gate is None else group[0].gate.components


def _seconds(objective: Objective, store: SampleStore | None) -> dict[tuple[str, str], float]:
    """Return the mean time of the stored scores of each component, in seconds; empty if the order needs no times."""
    dear = sum(each.component.cost == "high" for each in objective.components)
    if store is None or (dear < 2 and not objective.gates):
        return {}
    keys = [(each.component.name, each.component.version) for each in objective.components]
    names, versions = (pa.array(each, pa.string()) for each in zip(*keys, strict=True))
    found = store.read_arrow(_SECONDS, wanted=pa.table({"component": names, "version": versions}))
    return {(row["component"], row["version"]): row["seconds"] or 0.0 for row in found.to_pylist()}
