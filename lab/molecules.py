"""Molecules outside of builds: their scores, which are read from the store or computed, and draws of a policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from molbuffer.samplers import ModelSampler, Policy, ScoredMolecules, Scorer, draw_rows, torch_generator
from molbuffer.samplers.models import Sampling
from molbuffer.scoring import Filter, Objective, Standardisation, judge_many, standardise_many

ROWS_AT_ONCE = 2048
"""The number of rows between two calls of a progress callback."""


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
        progress: called with the number of rows drawn and the number of all, after each portion.

    Returns:
        A table with a row for each draw: ``smiles`` as drawn; ``molecule``, the canonical SMILES, null if the string is
        not a molecule; ``log_likelihood`` in nats, under the distribution of the draws.
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
    """Return a table with a row for each string, in order; computed scores are stored under the run of the scorer.

    ``molecule`` is the canonical SMILES. ``rejected_by`` is ``validity`` for a string that is not a molecule, the name
    of the filter that rejects the molecule, or null; rejected molecules are scored as well. ``reward``, ``raw_NAME``
    and ``transformed_NAME`` are null if they are unknown, and ``error`` has the reason. If a molecule of the table is
    gated, the column ``gated`` has the names of the components without a score, separated by commas.

    Args:
        scorer: the scorer.
        smiles: the strings [n].
        filters: the filters, in their order.
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

    Call ``progress`` after each portion with the number of strings done and the number of all.
    """
    frames = [score_molecules(scorer, [], filters, standardisation)]
    for start in range(0, len(smiles), portion):
        frames.append(score_molecules(scorer, smiles[start : start + portion], filters, standardisation))
        progress(min(start + portion, len(smiles)), len(smiles))
    return pl.concat(frames)


def _values(objective: Objective, scored: ScoredMolecules) -> pl.DataFrame:
    """Return the rewards, raw and transformed values of distinct molecules, null where unknown."""
    columns = {"reward": scored.rewards}
    for name, transformed in objective.transformed(scored.values, scored.stds).items():
        columns[f"raw_{name}"] = scored.values[name]
        columns[f"transformed_{name}"] = transformed
    smiles = pl.Series("molecule", list(scored.smiles), pl.String)
    return pl.DataFrame([smiles, *(pl.Series(name, values, pl.Float64) for name, values in columns.items())]).fill_nan(
        None
    )


def _gated(scored: ScoredMolecules, smiles: str | None) -> str | None:
    """Return the names of the components whose gates a molecule does not meet; None if there are none."""
    return ", ".join(name for name, molecules in scored.gated.items() if smiles in molecules) or None
