"""A map of chemical space: molecules as points, which are close if the molecules share many features."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rdkit.Chem import rdFingerprintGenerator

from molbuffer.pages.facts.sample import MoleculeSample
from molbuffer.scoring import parse_small

RADIUS, BITS = 2, 1024


@dataclass(frozen=True)
class SpaceMap:
    """The molecules of a sample in two dimensions.

    Attributes:
        points: the rows of the sample whose SMILES RDKit can read, with ``x`` and ``y``.
        explained: the shares of the variance of the fingerprints along both axes; two zeros without variance.
    """

    points: pl.DataFrame = field(repr=False)
    explained: tuple[float, float]


def map_space(sample: MoleculeSample) -> SpaceMap:
    """Return the two principal components of the Morgan fingerprints (radius 2, 1,024 bits) of a sample.

    The sign of each axis is chosen so that the largest weight of a feature is positive; the map of the same sample is
    therefore always the same.
    """
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    molecules = [parse_small(text) for text in sample.molecules["smiles"].to_list()]
    points = sample.molecules.filter(pl.Series([molecule is not None for molecule in molecules], dtype=pl.Boolean))
    bits = np.array([generator.GetFingerprintAsNumPy(each) for each in molecules if each is not None], np.float32)
    if len(bits) < 3:
        nowhere = np.zeros((len(bits), 2))
        return SpaceMap(_placed(points, nowhere), (0.0, 0.0))
    centred = bits - bits.mean(axis=0)
    # Two matrices have the same eigenvalues, over bits and over molecules: take the smaller one.
    few = len(centred) < BITS
    values, vectors = np.linalg.eigh(centred @ centred.T if few else centred.T @ centred)
    axes = vectors[:, [-1, -2]]
    if few:
        axes = (centred.T @ axes) / np.sqrt(values[[-1, -2]].clip(1e-9))
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    total = float(values.clip(0).sum())
    first, second = (float(values[at]) / total if total > 0 else 0.0 for at in (-1, -2))
    return SpaceMap(_placed(points, centred @ axes), (first, second))


def _placed(points: pl.DataFrame, places: NDArray[np.floating]) -> pl.DataFrame:
    x, y = (pl.Series(name, places[:, at].astype(np.float64)) for at, name in enumerate("xy"))
    return points.with_columns(x, y)
