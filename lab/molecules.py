"""Molecules outside of a build: scores, looked up before they are computed and then stored, and draws of a policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from molbuffer.samplers import ModelSampler, Policy, ScoredMolecules, Scorer, draw_rows, torch_generator
from molbuffer.samplers.models import Sampling
from molbuffer.scoring import Filter, Objective, Standardisation, judge_many, standardise_many

ROWS_AT_ONCE = 2048
"""Rows between two calls of a progress callback."""


def draw_molecules(
    policy: Policy,
    n: int,
    sampling: Sampling,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pl.DataFrame:
    """Draw n rows from a policy; the same seed gives the same rows.

    Args:
        policy: the policy.
        n: the number of rows.
        sampling: temperature and truncation.
        seed: the seed.
        progress: told the number of rows drawn and wanted, after each portion.

    Returns:
        ``smiles`` as drawn; ``molecule``, the canonical SMILES, null where the string is no molecule;
        ``log_likelihood`` in nats, under the distribution drawn from.
    """
    # The sampler refuses a policy that needs a source for each row.
    sampler = ModelSampler("sample", lambda: policy, sampling=sampling)
    generator = torch_generator(seed)
    schema = {"smiles": pl.String, "molecule": pl.String, "log_likelihood": pl.Float64}
    parts = [pl.DataFrame(schema=schema)]
    for start in range(0, n, ROWS_AT_ONCE):
        rows = min(ROWS_AT_ONCE, n - start)
        drawn = draw_rows(sampler.policy(), rows, sampling, generator)
        likelihoods = drawn.rows.log_probs.sum(1, dtype=np.float64)
        columns = {"smiles": drawn.raw, "molecule": standardise_many(drawn.raw), "log_likelihood": likelihoods}
        parts.append(pl.DataFrame(columns, schema=schema))
        progress(start + rows, n)
    return pl.concat(parts)


def score_molecules(
    scorer: Scorer, smiles: Sequence[str], filters: Sequence[Filter], standardisation: Standardisation
) -> pl.DataFrame:
    """Return a row for each string, in order; scores that were computed are stored under the scorer's run.

    ``molecule`` is the canonical SMILES. ``rejected_by`` is ``validity`` for a string that is no molecule, and null for
    one that passes every filter; molecules that a filter rejects are scored as well. ``reward``, ``raw_NAME`` and
    ``transformed_NAME`` are null where they are unknown, and ``error`` has the reason. Where the objective has gates,
    ``gated`` has the names of the components that a gate has kept from the molecule, separated by commas.

    Args:
        scorer: the scorer.
        smiles: the strings [n].
        filters: asked in their order.
        standardisation: how strings become molecules.
    """
    judgements = judge_many(smiles, filters, standardisation)
    molecules = [each.smiles for each in judgements]
    scored = scorer.score([text for text in molecules if text is not None])
    if scorer.store is not None:
        scorer.store.record_scores(scored.new, run_id=scorer.run_id)
    columns = {
        "smiles": list(smiles),
        "molecule": molecules,
        "rejected_by": [each.rejected_by for each in judgements],
        "error": [None if text is None else scored.errors.get(text) for text in molecules],
    }
    if scored.gated:
        columns["gated"] = [_gated(scored, text) for text in molecules]
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    # Values are joined by molecule, never by position: the scorer scores each distinct molecule once.
    values = _values(scorer.objective, scored)
    joined = frame.join(values, on="molecule", how="left", maintain_order="left")
    return joined.select("smiles", "molecule", "rejected_by", *values.columns[1:], *list(columns)[3:])


def score_in_portions(
    *,
    scorer: Scorer,
    smiles: Sequence[str],
    filters: Sequence[Filter],
    standardisation: Standardisation,
    portion: int,
    progress: Callable[[int, int], None],
) -> pl.DataFrame:
    """Return the rows of ``score_molecules``, scored ``portion`` strings at a time.

    ``progress`` is told the number of strings that are done and of all.
    """
    frames = [score_molecules(scorer, [], filters, standardisation)]
    for start in range(0, len(smiles), portion):
        frames.append(score_molecules(scorer, smiles[start : start + portion], filters, standardisation))
        progress(min(start + portion, len(smiles)), len(smiles))
    return pl.concat(frames)


def _values(objective: Objective, scored: ScoredMolecules) -> pl.DataFrame:
    """Return the reward, raw and transformed values of distinct molecules, null where unknown."""
    columns = {"reward": scored.rewards}
    for name, transformed in objective.transformed(scored.values, scored.stds).items():
        columns[f"raw_{name}"] = scored.values[name]
        columns[f"transformed_{name}"] = transformed
    smiles = pl.Series("molecule", list(scored.smiles), pl.String)
    return pl.DataFrame([smiles, *(pl.Series(name, values, pl.Float64) for name, values in columns.items())]).fill_nan(
        None
    )


def _gated(scored: ScoredMolecules, smiles: str | None) -> str | None:
    """Return the names of the components that a gate has kept from a molecule; None if there are none."""
    return ", ".join(name for name, molecules in scored.gated.items() if smiles in molecules) or None
