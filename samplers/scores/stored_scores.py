"""Scores that are stored: whether a component would compute them again, and the second attempt at those that failed."""

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
"""The stored scores of a component that are computed again at the start of a run."""
RELATIVE, ABSOLUTE = 1e-4, 1e-6
"""How far a value computed again may be from the stored one, since single precision varies with threads and devices."""


_log = logging.getLogger(__name__)


def check_stored_scores(objective: Objective, store: SampleStore) -> None:
    """Compute a few stored scores of each cheap component again, and compare.

    Components that are not ``deterministic`` are left out, and so are scores that the machinery loses this time. It is
    said of each component whether the store has scores of other versions only, which are not used.

    Raises:
        StaleScoresError: a value differs, so that new scores would be mixed with those of another model.
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
            "the %d stored scores of %r are of other versions and are not used: what it computes with has changed "
            "(parameters, modules, files, installed packages, revision)",
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
                f"changed that the version does not know. Name the files that it reads in `files`, or give it another "
                f"`revision`, so that scores are computed again; a component whose values vary by nature has "
                f"`deterministic = false`"
            )


@dataclass(frozen=True)
class SecondAttempt:
    """What became of scores that were computed again.

    Attributes:
        tried: the scores that were computed, each of one molecule and component.
        scored: those that stand now.
        failed: those whose molecule failed again.
        lost: those that the machinery lost again.
        rewards: the rewards of stored rows that are complete by it.
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
        scorer: with the objective and the store.
        run_id: the run that the new scores and rewards belong to.
        statuses: which are tried again, by the status of the last attempt.
        names: the components; all of the objective if there are none.
        template: the rewards of pairs are completed under it, too.
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
        # A gate may open with what was scored just now.
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
    """Add the rewards that stored rows lack and can have by now, and return how many."""
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
