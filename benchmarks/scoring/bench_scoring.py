"""Measure molecules per second of standardisation, filters and scoring, with one process and with all cores.

    python benchmarks/scoring/bench_scoring.py [--molecules 3000]

The molecules are random SMILES of known drugs, so that every string must be parsed. The two measured steps are those of
a build: from drawn strings to standardised and filtered molecules, and from these to scores of QED and of a similarity.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rdkit import Chem

from molbuffer.scoring import AllowedElements, PropertyRange, RingSize, SingleComponent, available_cores, judge_many
from molbuffer.scoring.components import QED, Similarity, score_many

Result = TypeVar("Result")

DRUGS = Path(__file__).parents[2] / "tests/data/molecules.smi"
FILTERS = (
    SingleComponent(),
    PropertyRange("molecular_weight", 150, 550),
    RingSize(maximum=8),
    AllowedElements(("C", "N", "O", "F", "P", "S", "Cl", "Br", "I")),
)
COMPONENTS = (QED(), Similarity("CC(=O)Nc1ccc(O)cc1"))


@dataclass(frozen=True)
class Rates:
    """The molecules per second of each step and of all steps together."""

    judge: float
    score: float
    together: float


def random_spellings(n: int) -> list[str]:
    """Return n random SMILES, distributed evenly over the drugs."""
    drugs = [Chem.MolFromSmiles(line.split()[0]) for line in DRUGS.read_text().splitlines()]
    each = -(-n // len(drugs))
    spellings = [Chem.MolToRandomSmilesVect(drug, each, randomSeed=7) for drug in drugs]
    return [text for same_place in zip(*spellings, strict=True) for text in same_place][:n]


def measure(raw: Sequence[str]) -> tuple[Rates, list[tuple[str | None, float | None, float | None]]]:
    """Return the rates, and the results of each string: its SMILES and its two values."""
    judge_seconds, judged = _timed(lambda: judge_many(raw, FILTERS))
    kept = [each.smiles for each in judged if each.rejected_by is None and each.smiles is not None]
    score_seconds, scores = _timed(lambda: [score_many(component, kept) for component in COMPONENTS])
    n = len(raw)
    rates = Rates(n / judge_seconds, len(kept) / score_seconds, n / (judge_seconds + score_seconds))
    return rates, [(text, a.value, b.value) for text, a, b in zip(kept, *scores, strict=True)]


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


@contextmanager
def one_core() -> Iterator[None]:
    """Restrict this process to one core, so that it does all of the work itself."""
    granted = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(granted)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, granted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--molecules", type=int, default=3_000)
    raw = random_spellings(parser.parse_args().molecules)
    # The first pass starts the processes and fills the caches of both ways.
    for warm_up in (raw[:300], raw[:10]):
        measure(warm_up)
    with one_core():
        alone, expected = measure(raw)
    shared, got = measure(raw)
    if got != expected:
        raise SystemExit("the results depend on the number of processes")
    cores = available_cores()
    print(f"{len(raw):,} molecules, molecules/s      1 core   {cores} cores   speed-up")
    for step in ("judge", "score", "together"):
        one, all_cores = getattr(alone, step), getattr(shared, step)
        print(f"{step:<24} {one:14,.0f} {all_cores:9,.0f} {all_cores / one:9.2f}x")


if __name__ == "__main__":
    main()
