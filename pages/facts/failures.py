"""Failed and lost scores, with their numbers, reasons and molecules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from molbuffer.pages.facts.scope import Scope
from molbuffer.scoring import ERROR_VALUES

MOST_ERROR_CHARACTERS = 2_000
MOST_REASONS = 50


@dataclass(frozen=True)
class FailureFacts:
    """The failed or lost scores of one component with one reason.

    Errors that differ only in numbers, or in the molecule that they name, are one reason.

    Attributes:
        component: the name of the component.
        status: ``failed`` if the molecule is at fault, ``lost`` if the machine is.
        error: the text of one of the errors, at most 2,000 characters of it.
        molecules: the number of molecules with such an error.
        recovered: the number of these molecules that have a good score by now.
        examples: at most three of the molecules, as canonical SMILES.
        newest: the time of the last such error, in UTC.
    """

    component: str
    status: str
    error: str
    molecules: int
    recovered: int
    examples: tuple[str, ...]
    newest: datetime


def list_failures(scope: Scope) -> list[FailureFacts]:
    """Return the reasons of failed and lost scores of the runs of a scope, the most frequent first, ``MOST_REASONS`` at
    most.

    Args:
        scope: the runs; scores without a run are included if the scope has all runs of the store.
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
    -- The same normalisation of a text as in ``scoring.error_form``.
    regexp_replace(
        regexp_replace(failed.error, '(^|\\W)' || regexp_escape(failed.smiles) || '(\\W|$)', '\\1\\2', 'g'),
        $3, '#', 'g'
    )
ORDER BY molecules DESC, failed.component, error LIMIT $2
"""
