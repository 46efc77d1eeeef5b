"""Scores that failed or were lost: how often, for which reason, and of which molecules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molbuffer.pages.facts.scope import Scope
from molbuffer.scoring import ERROR_VALUES

MOST_ERROR_CHARACTERS = 2_000
MOST_REASONS = 50


@dataclass(frozen=True)
class FailureFacts:
    """Scores of one component that did not come about for one reason; errors that differ in a number, or in the
    molecule that they name, are one.

    Attributes:
        component: the name of the component.
        status: ``failed`` where the molecule has no score, ``lost`` where the machine was at fault.
        error: the text of one of them, at most 2,000 characters of it.
        molecules: how many molecules had it.
        recovered: how many of these have a good score by now.
        examples: at most three of them, canonical SMILES.
        newest: when it happened last, in UTC.
    """

    component: str
    status: str
    error: str
    molecules: int
    recovered: int
    examples: tuple[str, ...]
    newest: datetime


def list_failures(scope: Scope) -> list[FailureFacts]:
    """Return the reasons for which scores of the runs of a scope failed or were lost, the most frequent first,
    ``MOST_REASONS`` at most.

    Args:
        scope: the runs; scores without a run count where these are all runs of the store.
    """
    rows = scope.read(_FAILURES, [scope.whole, MOST_REASONS, ERROR_VALUES]).to_dicts()
    return [FailureFacts(**{**row, "examples": tuple(row["examples"])}) for row in rows]


_FAILURES = f"""
WITH failed AS MATERIALIZED (
    SELECT scores.smiles, scores.component, scores.version, scores.status, scores.created,
        coalesce(scores.error, 'no error was recorded') AS error
    FROM {{scores}} AS scores LEFT JOIN wanted ON wanted.run_id = scores.run_id
    WHERE scores.status IN ('failed', 'lost')
        AND (wanted.run_id IS NOT NULL OR ($1 AND scores.run_id IS NULL))
),
good AS (
    SELECT DISTINCT scores.smiles, scores.component, scores.version
    FROM {{scores}} AS scores SEMI JOIN failed ON failed.smiles = scores.smiles
        AND failed.component = scores.component AND failed.version = scores.version
    WHERE scores.status = 'ok'
)
SELECT failed.component, failed.status, min(failed.error)[:{MOST_ERROR_CHARACTERS}] AS error,
    count(DISTINCT failed.smiles) AS molecules,
    count(DISTINCT failed.smiles) FILTER (good.smiles IS NOT NULL) AS recovered,
    list(DISTINCT failed.smiles ORDER BY length(failed.smiles), failed.smiles)[:3] AS examples,
    max(failed.created) AS newest
FROM failed LEFT JOIN good
    ON good.smiles = failed.smiles AND good.component = failed.component AND good.version = failed.version
GROUP BY failed.component, failed.status,
    -- What ``scoring.error_form`` does with a text.
    regexp_replace(
        regexp_replace(failed.error, '(^|\\W)' || regexp_escape(failed.smiles) || '(\\W|$)', '\\1\\2', 'g'),
        $3, '#', 'g'
    )
ORDER BY molecules DESC, failed.component, error LIMIT $2
"""
