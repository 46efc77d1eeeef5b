"""A sample of the molecules of a scope, which does not depend on the order in which they are stored."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from molbuffer.pages.facts.scope import NUMBERED, Scope


@dataclass(frozen=True)
class MoleculeSample:
    """A sample of the different molecules that have a reward under an objective.

    Attributes:
        total: the number of all such molecules.
        molecules: a row for each molecule of the sample, in the order of first draws: ``smiles``, ``reward`` (the
            best), ``run_id`` and ``iteration`` of the first row, and ``place``, the place of the molecule among all
            molecules in this order, from 1.
    """

    total: int
    molecules: pl.DataFrame = field(repr=False)

    @property
    def is_whole(self) -> bool:
        """Whether the sample has all molecules."""
        return self.total == len(self.molecules)


def sample_molecules(scope: Scope, objective_sha256: str, most: int, *, seed: int = 0) -> MoleculeSample:
    """Return a sample of at most ``most`` molecules with a reward under an objective.

    Molecules are chosen by a hash of their SMILES and the seed, so that all are equally likely, and the sample of a
    later snapshot has most molecules of the sample of an earlier one.
    """
    found = scope.read(_SAMPLE, [objective_sha256, str(seed), most])
    total = 0 if found.is_empty() else int(found["total"][0])
    return MoleculeSample(total, scope.named(found.drop("total")).select(*_COLUMNS))


_COLUMNS = ("smiles", "reward", "run_id", "iteration", "place")

_SAMPLE = f"""
WITH {NUMBERED},
molecules AS (
    SELECT samples.smiles, max(rewards.value) AS reward,
        min(numbered.number * 2147483648 + samples."row") AS first
    FROM {{rewards}} AS rewards JOIN numbered ON numbered.build_id = rewards.build_id
    JOIN {{samples}} AS samples ON samples.build_id = rewards.build_id AND samples."row" = rewards."row"
    WHERE rewards.objective_sha256 = ? AND rewards.status = 'ok' AND samples.smiles IS NOT NULL
    GROUP BY samples.smiles
),
chosen AS (
    SELECT *, count(*) OVER () AS total, row_number() OVER (ORDER BY first) AS place,
        row_number() OVER (ORDER BY hash(smiles || ?), smiles) AS lot
    FROM molecules
)
SELECT chosen.smiles, chosen.reward, numbered.run, numbered.iteration, chosen.place, chosen.total
FROM chosen JOIN numbered ON numbered.number = chosen.first // 2147483648
WHERE chosen.lot <= ? ORDER BY chosen.place
"""
