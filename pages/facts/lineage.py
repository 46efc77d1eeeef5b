"""The lineage of a molecule: its draws, the molecules that it was made of, its policies, and its scores."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from molbuffer.pages.facts.molecules import first_rows
from molbuffer.pages.facts.scope import NUMBERED, Scope

MOST_GENERATIONS = 20
MOST_ANCESTORS = 40
MOST_POLICIES = 200


@dataclass(frozen=True)
class Ancestor:
    """A molecule in the descent of another molecule.

    Attributes:
        smiles: the canonical SMILES.
        generation: 0 for the molecule itself, 1 for the molecules that it was made of, and so on.
        run_name: the name of the run that drew it first; None if no run of the scope drew it.
        iteration: the iteration of this draw.
        sampler: the sampler of this draw.
        file: the file that it was read from; None if it was not read from a file.
    """

    smiles: str
    generation: int
    run_name: str | None = None
    iteration: int | None = None
    sampler: str | None = None
    file: str | None = None


@dataclass(frozen=True)
class PolicyStep:
    """A version of a policy in the descent of the policy that drew a molecule.

    Attributes:
        sha256: the sha256 of the version.
        kind: the kind of the model.
        run_name: the name of the run that made it; None for a policy that was imported.
        iteration: the iteration after which it was made.
        weights_kept: whether the store has its weights.
        created: the time at which it was made, in UTC.
    """

    sha256: str
    kind: str
    run_name: str | None
    iteration: int | None
    weights_kept: bool
    created: datetime


def descent(scope: Scope, smiles: str) -> list[Ancestor]:
    """Return a molecule and its ancestors by generation, back to molecules whose sampler names no source.

    Each ancestor occurs once, in its first generation. The list has at most 40 molecules of 20 generations; it is empty
    if no run of the scope has drawn the molecule.
    """
    found: dict[str, Ancestor] = {}
    wanted = [smiles]
    for generation in range(MOST_GENERATIONS):
        rows = {row["smiles"]: row for row in first_rows(scope, wanted)}
        if not rows and not found:
            return []
        for each in wanted[: MOST_ANCESTORS - len(found)]:
            row = rows.get(each, {})
            known = {name: row.get(name) for name in ("run_name", "iteration", "sampler", "file")}
            found[each] = Ancestor(each, generation, **known)
        sources = (source for each in wanted if each in rows for source in rows[each]["made_of"] or ())
        wanted = [source for source in dict.fromkeys(sources) if source not in found]
        if not wanted or len(found) == MOST_ANCESTORS:
            break
    return list(found.values())


def policy_descent(scope: Scope, sha256: str) -> list[PolicyStep]:
    """Return a version of a policy and up to 200 versions that it was trained from, the newest first."""
    return [PolicyStep(**row) for row in scope.read(_POLICIES, [sha256, MOST_POLICIES]).to_dicts()]


def draws_of(scope: Scope, smiles: str, most: int = 100) -> pl.DataFrame:
    """Return at most ``most`` rows of a scope with a molecule, kept or not, the earliest first.

    Returns:
        ``run_id``, ``run_name``, ``iteration``, ``event``, ``sampler``, ``kept``, ``rejected_by``, ``raw``,
        ``made_of``, the source or the parents as a text, ``policy_sha256``, and ``reward`` under the objective of the
        build.
    """
    return scope.named(scope.read(_DRAWS, [smiles, most]))


def scores_of(scope: Scope, smiles: str) -> pl.DataFrame:
    """Return all scores of a molecule in the store, of any run, the oldest first.

    Returns:
        ``component``, ``version``, ``value``, ``std``, ``status``, ``error``, ``seconds``, ``run_name`` and
        ``created``.
    """
    return scope.read(_SCORES, [smiles])


_POLICIES = """
WITH RECURSIVE versions AS MATERIALIZED (SELECT * FROM {lineage}),
steps AS (
    SELECT sha256, parent_sha256, 0 AS distance FROM versions WHERE sha256 = $1
    UNION
    SELECT versions.sha256, versions.parent_sha256, steps.distance + 1
    FROM steps JOIN versions ON versions.sha256 = steps.parent_sha256 WHERE steps.distance < $2
)
SELECT versions.sha256, versions.kind, runs.name AS run_name, versions.iteration, versions.weights_kept,
    versions.created
FROM steps JOIN versions ON versions.sha256 = steps.sha256 LEFT JOIN {runs} AS runs ON runs.run_id = versions.run_id
ORDER BY steps.distance
"""

_DRAWS = f"""
WITH {NUMBERED}
SELECT numbered.run, runs.name AS run_name, numbered.iteration, numbered.event, numbered.sampler, samples.kept,
    samples.rejected_by, samples.raw,
    coalesce(samples.source_smiles, samples.parents) AS made_of, numbered.policy_sha256, rewards.value AS reward
FROM {{samples}} AS samples JOIN numbered ON numbered.build_id = samples.build_id
JOIN {{runs}} AS runs ON runs.run_id = numbered.run_id
LEFT JOIN {{rewards}} AS rewards ON rewards.build_id = samples.build_id AND rewards."row" = samples."row"
    AND rewards.objective_sha256 = numbered.rewarded_by AND rewards.status = 'ok'
WHERE samples.smiles = ? ORDER BY numbered.number, samples."row" LIMIT ?
"""

_SCORES = """
SELECT scores.component, scores.version, scores.value, scores.std, scores.status, scores.error, scores.seconds,
    runs.name AS run_name, scores.created
FROM {scores} AS scores LEFT JOIN {runs} AS runs ON runs.run_id = scores.run_id
WHERE scores.smiles = ? ORDER BY scores.created, scores.component, scores.version
"""
