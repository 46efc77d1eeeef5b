"""Time the search for all pairs of similar molecules, compared with a loop of RDKit's BulkTanimotoSimilarity.

    python benchmarks/drawing/bench_pairs.py [--molecules 10000] [--minimum 0.5] [--looped 500] [--file molecules.smi]

Without a file the molecules are drawn from the bundled policy. Both methods start from SMILES, compare the same count
fingerprints, and must find the same pairs. The loop would take minutes, so it compares only some molecules with all
others; the time for all molecules is extrapolated from the number of comparisons.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from rdkit import DataStructs

from molbuffer.samplers import ModelSampler, find_policy, load_policy, read_smiles_file
from molbuffer.scoring import (
    Fingerprint,
    SimilarityBounds,
    count_fingerprint,
    parse_smiles,
    similar_pairs,
    standardise_many,
)

Pairs = set[tuple[int, int]]


def some_molecules(n: int, file: Path | None) -> list[str]:
    """Return at most n different molecules, as canonical SMILES."""
    if file is not None:
        raw = [row.smiles for row in read_smiles_file(file)[:n]]
    else:
        policy = load_policy(find_policy("zinc-gru"))
        raw = list(ModelSampler("bench", lambda: policy).draw(n + n // 10, seed=7).raw)
    return [text for text in dict.fromkeys(standardise_many(raw)) if text is not None][:n]


def by_loop(molecules: Sequence[str], minimum: float, looped: int) -> tuple[Pairs, float]:
    """Return the pairs that a plain loop over all later molecules finds, and its extrapolated seconds."""
    started = time.perf_counter()
    parsed = [parse_smiles(text) for text in molecules]
    fingerprints = [count_fingerprint(molecule, Fingerprint.MORGAN) for molecule in parsed if molecule is not None]
    prepared = time.perf_counter()
    pairs: Pairs = set()
    for i, fingerprint in enumerate(fingerprints[:looped]):
        similarities = DataStructs.BulkTanimotoSimilarity(fingerprint, fingerprints[i + 1 :])
        pairs.update((i, i + 1 + j) for j, similarity in enumerate(similarities) if similarity >= minimum)
    compared, n = sum(len(molecules) - 1 - i for i in range(looped)), len(molecules)
    return pairs, prepared - started + (time.perf_counter() - prepared) * (n * (n - 1) / 2) / compared


def by_search(molecules: Sequence[str], minimum: float) -> tuple[Pairs, float]:
    started = time.perf_counter()
    found = similar_pairs(molecules, SimilarityBounds(minimum))
    seconds = time.perf_counter() - started
    return {(i, j) for i, j in zip(found.first.tolist(), found.second.tolist(), strict=True) if i < j}, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--molecules", type=int, default=10_000)
    parser.add_argument("--minimum", type=float, default=0.5)
    parser.add_argument("--looped", type=int, default=500)
    parser.add_argument("--file", type=Path)
    chosen = parser.parse_args()
    molecules = some_molecules(chosen.molecules, chosen.file)
    looped = min(chosen.looped, len(molecules) - 1)
    found, search_seconds = by_search(molecules, chosen.minimum)
    expected, loop_seconds = by_loop(molecules, chosen.minimum, looped)
    if {pair for pair in found if pair[0] < looped} != expected:
        raise SystemExit("the two ways find different pairs")
    print(f"{len(molecules):,} molecules, {len(found):,} pairs with a similarity >= {chosen.minimum:g}")
    print(f"similar_pairs            {search_seconds:8.2f} s")
    print(f"BulkTanimotoSimilarity   {loop_seconds:8.2f} s")
    print(f"ratio                    {loop_seconds / search_seconds:8.1f}")


if __name__ == "__main__":
    main()
