from .choices import CHOICE, CHOICES, Choice
from .components.base import COMPONENTS, Component, score_many
from .components.imported import Imported
from .components.pmo.component import PMO
from .components.raw_score import RawScore
from .error_forms import ERROR_VALUES, commonest_error
from .errors import (
    ScorerUnavailableError,
    ScoringConfigurationError,
    ScoringError,
    StaleScoresError,
    WorkerError,
    unknown_name,
)
from .filters import (
    FILTERS,
    LENGTH,
    VALIDITY,
    Alerts,
    AllowedElements,
    Filter,
    Judgement,
    PropertyRange,
    RingSize,
    SingleComponent,
    SubstructureFilter,
    Valence,
    judge_many,
    reason_against,
)
from .gates import Gate, any_holds, circle, stored_form
from .genetic.breeding import WAYS, Breeding
from .genetic.offspring import children
from .molecules.cxsmiles import plain_smiles
from .molecules.parsing import canonical_smiles, parse_smiles
from .molecules.properties import check_property, property_names, property_value
from .molecules.queries.patterns import parse_smarts
from .molecules.random_smiles import random_smiles
from .molecules.scaffolds import scaffold_of, scaffolds_of
from .molecules.sdf import posed_record, sdf_record
from .molecules.similarity.buckets import BucketName, Buckets, make_buckets
from .molecules.similarity.diversity import Diversity, diversity_of
from .molecules.similarity.fingerprints import Fingerprint, bit_fingerprints, count_fingerprint
from .molecules.similarity.neighbours import Indices, SimilarityBounds, SimilarPairs, similar_pairs
from .molecules.standardisation import (
    MAX_LENGTH,
    NamedMolecule,
    Standardisation,
    are_other_molecules,
    parse_small,
    standardise,
    standardise_many,
    standardise_smiles,
)
from .named_objectives import (
    IMPORTED_PREFIX,
    NAMED_OBJECTIVES,
    PMO_PREFIX,
    NamedObjective,
    check_objective_name,
    named_objective,
)
from .objective import Aggregation, Mode, Objective, WeightedComponent
from .pairs import IMPROVEMENT, SOURCE, ContrastiveTemplate, PairJudgement, judge_pairs
from .screening import SCREENING, KnownValues, RewardModel, Screening, dear_components, pick_molecules
from .surrogates.acquisitions import ExpectedImprovement, Greedy, ThompsonSampling, UpperConfidenceBound
from .surrogates.base import ACQUISITIONS, SURROGATES, Acquisition, FittedSurrogate, Picks, Prediction, Surrogate
from .surrogates.gaussian_process import GaussianProcess
from .surrogates.reliability import Calibration, calibration, inflation
from .transforms import TRANSFORMS, DoubleSigmoid, Identity, Transform
from .unlikely_groups import UNLIKELY_GROUPS, UnlikelyGroups, unlikely_group
from .workers.cores import allowed_cores, available_cores
from .workers.crew import Crew, Seat
from .workers.worker import WorkerDiedError

__all__ = [
    "ACQUISITIONS",
    "CHOICE",
    "CHOICES",
    "COMPONENTS",
    "ERROR_VALUES",
    "FILTERS",
    "IMPORTED_PREFIX",
    "IMPROVEMENT",
    "LENGTH",
    "MAX_LENGTH",
    "NAMED_OBJECTIVES",
    "PMO",
    "PMO_PREFIX",
    "SCREENING",
    "SOURCE",
    "SURROGATES",
    "TRANSFORMS",
    "UNLIKELY_GROUPS",
    "VALIDITY",
    "WAYS",
    "Acquisition",
    "Aggregation",
    "Alerts",
    "AllowedElements",
    "Breeding",
    "BucketName",
    "Buckets",
    "Calibration",
    "Choice",
    "Component",
    "ContrastiveTemplate",
    "Crew",
    "Diversity",
    "DoubleSigmoid",
    "ExpectedImprovement",
    "Filter",
    "Fingerprint",
    "FittedSurrogate",
    "Gate",
    "GaussianProcess",
    "Greedy",
    "Identity",
    "Imported",
    "Indices",
    "Judgement",
    "KnownValues",
    "Mode",
    "NamedMolecule",
    "NamedObjective",
    "Objective",
    "PairJudgement",
    "Picks",
    "Prediction",
    "PropertyRange",
    "RawScore",
    "RewardModel",
    "RingSize",
    "ScorerUnavailableError",
    "ScoringConfigurationError",
    "ScoringError",
    "Screening",
    "Seat",
    "SimilarPairs",
    "SimilarityBounds",
    "SingleComponent",
    "StaleScoresError",
    "Standardisation",
    "SubstructureFilter",
    "Surrogate",
    "ThompsonSampling",
    "Transform",
    "UnlikelyGroups",
    "UpperConfidenceBound",
    "Valence",
    "WeightedComponent",
    "WorkerDiedError",
    "WorkerError",
    "allowed_cores",
    "any_holds",
    "are_other_molecules",
    "available_cores",
    "bit_fingerprints",
    "calibration",
    "canonical_smiles",
    "check_objective_name",
    "check_property",
    "children",
    "circle",
    "commonest_error",
    "count_fingerprint",
    "dear_components",
    "diversity_of",
    "inflation",
    "judge_many",
    "judge_pairs",
    "make_buckets",
    "named_objective",
    "parse_small",
    "parse_smarts",
    "parse_smiles",
    "pick_molecules",
    "plain_smiles",
    "posed_record",
    "property_names",
    "property_value",
    "random_smiles",
    "reason_against",
    "scaffold_of",
    "scaffolds_of",
    "score_many",
    "sdf_record",
    "similar_pairs",
    "standardise",
    "standardise_many",
    "standardise_smiles",
    "stored_form",
    "unknown_name",
    "unlikely_group",
]
