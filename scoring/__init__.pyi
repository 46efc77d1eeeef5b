from .components.base import Component, score_many
from .components.raw_score import RawScore
from .errors import (
    ScorerUnavailableError,
    ScoringConfigurationError,
    ScoringError,
    StaleScoresError,
    WorkerError,
)
from .filters import VALIDITY, AllowedElements, Filter, Judgement, PropertyRange, RingSize, SingleComponent, judge_many
from .genetic.offspring import Breeding, children
from .molecules.diversity import Diversity, diversity_of
from .molecules.fingerprints import Fingerprint, count_fingerprint
from .molecules.molecules import (
    NamedMolecule,
    Standardisation,
    are_other_molecules,
    canonical_smiles,
    parse_smarts,
    parse_smiles,
    standardise,
    standardise_many,
    standardise_smiles,
)
from .molecules.neighbours import Indices, SimilarityBounds, SimilarPairs, similar_pairs
from .molecules.properties import check_property, property_names, property_value
from .molecules.scaffolds import scaffold_of, scaffolds_of
from .objective import Aggregation, Objective, WeightedComponent
from .pairs import IMPROVEMENT, SOURCE, ContrastiveTemplate, PairJudgement, judge_pairs
from .transforms import Transform
from .workers.cores import allowed_cores, available_cores

__all__ = [
    "IMPROVEMENT",
    "SOURCE",
    "VALIDITY",
    "Aggregation",
    "AllowedElements",
    "Breeding",
    "Component",
    "ContrastiveTemplate",
    "Diversity",
    "Filter",
    "Fingerprint",
    "Indices",
    "Judgement",
    "NamedMolecule",
    "Objective",
    "PairJudgement",
    "PropertyRange",
    "RawScore",
    "RingSize",
    "ScorerUnavailableError",
    "ScoringConfigurationError",
    "ScoringError",
    "SimilarPairs",
    "SimilarityBounds",
    "SingleComponent",
    "StaleScoresError",
    "Standardisation",
    "Transform",
    "WeightedComponent",
    "WorkerError",
    "allowed_cores",
    "are_other_molecules",
    "available_cores",
    "canonical_smiles",
    "check_property",
    "children",
    "count_fingerprint",
    "diversity_of",
    "judge_many",
    "judge_pairs",
    "parse_smarts",
    "parse_smiles",
    "property_names",
    "property_value",
    "scaffold_of",
    "scaffolds_of",
    "score_many",
    "similar_pairs",
    "standardise",
    "standardise_many",
    "standardise_smiles",
]
