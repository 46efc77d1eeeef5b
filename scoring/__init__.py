"""Molecules, filters, score components and objectives. Knows rdkit and numpy, and no other room.

The kinds of filters, components and transforms are in ``scoring.filters``, ``scoring.components`` and
``scoring.transforms``.
"""

from scoring import components, filters, transforms
from scoring.components import Component, RawScore, score_many
from scoring.diversity import Diversity, diversity_of
from scoring.errors import ScoringConfigurationError, ScoringError, WorkerError
from scoring.filters import Filter, Judgement, judge_many
from scoring.molecules import (
    NamedMolecule,
    Standardisation,
    canonical_smiles,
    standardise,
    standardise_many,
    standardise_smiles,
)
from scoring.objective import Aggregation, Objective, WeightedComponent
from scoring.pairs import ContrastiveTemplate, PairJudgement, judge_pairs
from scoring.properties import property_names, property_value
from scoring.transforms import Transform

__all__ = [
    "Aggregation",
    "Component",
    "ContrastiveTemplate",
    "Diversity",
    "Filter",
    "Judgement",
    "NamedMolecule",
    "Objective",
    "PairJudgement",
    "RawScore",
    "ScoringConfigurationError",
    "ScoringError",
    "Standardisation",
    "Transform",
    "WeightedComponent",
    "WorkerError",
    "canonical_smiles",
    "components",
    "diversity_of",
    "filters",
    "judge_many",
    "judge_pairs",
    "property_names",
    "property_value",
    "score_many",
    "standardise",
    "standardise_many",
    "standardise_smiles",
    "transforms",
]
