"""Stored scores: a check whether components still compute the same values, and a second attempt at failed scores."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from molbuffer.samplers.scores.component_order import groups_of
from molbuffer.samplers.scores.scorer import Scorer
from molbuffer.samplers.scores.settled import settled_rewards
from molbuffer.scoring import ContrastiveTemplate, Objective, StaleScoresError, WeightedComponent
from molbuffer.scoring.components import Component, score_many
from molbuffer.storage import PendingRow, Reward, SampleStore, ScoreStatus

CHECKED = 8
"""The number of stored scores of a component that are computed again at the start of a run."""
RELATIVE, ABSOLUTE = 1e-4, 1e-6
"""The tolerances between a stored and a new value, since single precision varies with threads and devices."""


_log = logging.getLogger(__name__)


def check_stored_scores(objective: Objective, store: SampleStore) -> None:
    """Compute a few stored scores of each cheap component again, and compare them with the stored values.

    Components that are not ``deterministic`` are left out, and so are new scores that are lost. A warning names each
    component of which the store has only scores of other versions, which are not used.

    Raises:
        StaleScoresError: a value differs, so that scores of different models would be mixed.
    """
    for weighted in objective.components:
        component = weighted.component
        _report_other_versions(component, store)
        of_backlog = component.name in objective.backlog
        if component.cost == "low" and not of_backlog and getattr(component, "deterministic", True):
            _check(component, store)


def _report_other_versions(component: Component, store: SampleStore) -> None:
    (counts,) = store.read_arrow(
        """SELECT count(*) FILTER (version = ?) AS own, count(*) FILTER (version <> ?) AS others FROM {scores}
        WHERE component = ? AND status = 'ok'""",
        parameters=[component.version, component.version, component.name],
    ).to_pylist()
    if counts["others"] and not counts["own"]:
        _log.warning(
            "the %d stored scores of %r are of other versions and are not used: something that the component depends "
            "on has changed (parameters, modules, files, installed packages, revision)",
            counts["others"],
            component.name,
        )


def _check(component: Component, store: SampleStore) -> None:
    stored = store.read_arrow(
        """SELECT smiles, any_value(value) AS value FROM {scores} WHERE component = ? AND version = ? AND status = 'ok'
        GROUP BY smiles ORDER BY hash(smiles) LIMIT ?""",
        parameters=[component.name, component.version, CHECKED],
    )
    smiles, values = stored["smiles"].to_pylist(), stored["value"].to_pylist()
    for text, value, now in zip(smiles, values, score_many(component, smiles), strict=True):
        if not now.lost and (
            now.value is None or not math.isclose(now.value, value, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
        ):
            raise StaleScoresError(
                f"component {component.name!r} has the stored score {value!r} for {text!r}, and computes "
                f"{now.error if now.value is None else now.value!r} now, although its version is the same: something "
                f"changed that the version does not cover. Name the files that it reads in `files`, or give it another "
                f"`revision`, so that scores are computed again; if its values vary by nature, set "
                f"`deterministic = false`"
            )


@dataclass(frozen=True)
class SecondAttempt:
    """The numbers of scores that were computed again, and of rewards that they complete.

    Attributes:
        tried: the number of scores that were computed again, each of one molecule and component.
        scored: the number of these scores that have a value now.
        failed: the number of these scores that failed again.
        lost: the number of these scores that were lost again.
        rewards: the number of rewards of stored rows that are complete now.
    """

    tried: int = 0
    scored: int = 0
    failed: int = 0
    lost: int = 0
    rewards: int = 0


def score_again(
    scorer: Scorer,
    run_id: str,
    *,
    statuses: Collection[ScoreStatus],
    names: Collection[str] = (),
    template: ContrastiveTemplate | None = None,
) -> SecondAttempt:
    """Compute scores without a value again, and complete the rewards that lacked them; good scores stay.

    Args:
        scorer: the scorer, with the objective and the store.
        run_id: the run that the new scores and rewards belong to.
        statuses: the statuses of the last attempt with which scores are computed again.
        names: the names of the components; empty for all components of the objective.
        template: the template of pairs, whose rewards are completed, too; None without pairs.
    """
    store = scorer.store
    assert store is not None
    counts = dict.fromkeys(ScoreStatus, 0)
    scored: dict[str, set[str]] = {}
    for group in groups_of(scorer.objective, store):
        wanted = [each for each in group if not names or each.component.name in names]
        if not wanted:
            continue
        molecules = {text for each in wanted for text in _without_score(store, each.component, statuses)}
        # A gate may open by the new scores of the groups before.
        molecules |= {text for name in _needed(wanted[0]) for text in scored.get(name, ())}
        tried = scorer.open_to(wanted[0], sorted(molecules))
        alone = Objective([replace(each, weight=1.0, after=None) for each in wanted])
        store.record_scores(replace(scorer, objective=alone, again=True).score(tried).new, run_id=run_id)
        for component in (each.component for each in wanted):
            found = store.find_scores(component.name, component.version, tried, lost_in=run_id)
            scored[component.name] = {text for text, score in found.items() if score.status is ScoreStatus.OK}
            for score in found.values():
                counts[score.status] += 1
    return SecondAttempt(
        tried=sum(counts.values()),
        scored=counts[ScoreStatus.OK],
        failed=counts[ScoreStatus.FAILED],
        lost=counts[ScoreStatus.LOST],
        rewards=_complete_rewards(scorer, store, run_id, template),
    )


def _needed(weighted: WeightedComponent) -> Sequence[str]:
    return () if weighted.gate is None else weighted.gate.components


def _without_score(store: SampleStore, component: Component, statuses: Collection[ScoreStatus]) -> list[str]:
    found = store.read_arrow(
        """SELECT smiles FROM {scores} WHERE component = ? AND version = ?
        GROUP BY smiles HAVING NOT bool_or(status = 'ok') AND list_contains(?, arg_max(status, created))
        ORDER BY smiles""",
        parameters=[component.name, component.version, [str(status) for status in statuses]],
    )
    return list(found["smiles"].to_pylist())


def _complete_rewards(scorer: Scorer, store: SampleStore, run_id: str, template: ContrastiveTemplate | None) -> int:
    """Add the rewards of stored rows that are complete by now, and return their number."""
    added = _complete(scorer, store, run_id, None)
    return added if template is None else added + _complete(scorer, store, run_id, template)


def _complete(scorer: Scorer, store: SampleStore, run_id: str, template: ContrastiveTemplate | None) -> int:
    objective = scorer.objective
    sha256 = objective.sha256 if template is None else template.objective_sha256(objective)
    found = store.read_arrow(
        """SELECT build_id, "row", $2 AS run_id, $1 AS objective_sha256, smiles, source_smiles FROM {samples} JOIN (
            SELECT build_id, "row" FROM {rewards} WHERE objective_sha256 = $1
            GROUP BY build_id, "row" HAVING NOT bool_or(status = 'ok')
        ) AS open_rewards USING (build_id, "row") WHERE kept ORDER BY build_id, "row" """,
        parameters=[sha256, run_id],
    ).to_pylist()
    rows = [PendingRow(**row) for row in found]
    scored = replace(scorer, computes="nothing").score(sorted({end for row in rows for end in row.molecules}))
    of_builds: dict[str, list[Reward]] = {}
    for row, reward in settled_rewards(rows, scored, template, None if template is None else sha256):
        if reward.status is ScoreStatus.OK:
            of_builds.setdefault(row.build_id, []).append(reward)
    return store.add_rewards_of_builds(of_builds, run_id)
