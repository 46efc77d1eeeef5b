"""Molecules, filters, score components, transforms and objectives.

Parsing and standardisation are in ``molecules``, what computes a raw score is in ``components``, the graph genetic
algorithm in ``genetic``, and the processes that share work in ``workers``. The room knows neither torch nor the store.
"""

from molbuffer.scoring import components, filters, transforms
from molbuffer.scoring.components import Component, RawScore, score_many
from molbuffer.scoring.errors import ScoringConfigurationError, ScoringError, WorkerError
from molbuffer.scoring.filters import Filter, Judgement, judge_many
from molbuffer.scoring.molecules.diversity import Diversity, diversity_of
from molbuffer.scoring.molecules.molecules import (
    NamedMolecule,
    Standardisation,
    canonical_smiles,
    standardise,
    standardise_many,
    standardise_smiles,
)
from molbuffer.scoring.molecules.properties import property_names, property_value
from molbuffer.scoring.objective import Aggregation, Objective, WeightedComponent
from molbuffer.scoring.pairs import ContrastiveTemplate, PairJudgement, judge_pairs
from molbuffer.scoring.transforms import Transform

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
