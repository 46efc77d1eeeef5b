from .area import area_under_best, mean_of_top
from .costs import CostFacts, list_costs
from .diversity import BITS, RADIUS, Cluster, DiversityFacts, Neighbour, nearest_of
from .failures import FailureFacts, list_failures
from .funnel import (
    COMPUTED,
    FAILED,
    KNOWN,
    LOST,
    NOT_PARSEABLE,
    PENDING,
    REFUSED,
    WITHOUT,
    Funnel,
    funnel_of,
    funnel_over_time,
)
from .learning import REWARDS, TOP, CallCurve, call_rewards, drawn_rewards, learning_curve, rewards_by_calls
from .lineage import Ancestor, PolicyStep, descent, draws_of, policy_descent, scores_of
from .molecules import BestMolecule, ComponentValue, best_molecules, first_rows
from .objectives import ComponentFacts, ObjectiveFacts, list_objectives
from .runs import RunFacts, list_run_facts
from .sample import MoleculeSample, sample_molecules
from .samplers import batch_shares, sampler_totals, samplers_over_time
from .scope import SHORT_ID, Scope, scope_of
from .space import SpaceMap, map_space
from .tradeoffs import Tradeoffs, pareto_front

__all__ = [
    "BITS",
    "COMPUTED",
    "FAILED",
    "KNOWN",
    "LOST",
    "NOT_PARSEABLE",
    "PENDING",
    "RADIUS",
    "REFUSED",
    "REWARDS",
    "SHORT_ID",
    "TOP",
    "WITHOUT",
    "Ancestor",
    "BestMolecule",
    "CallCurve",
    "Cluster",
    "ComponentFacts",
    "ComponentValue",
    "CostFacts",
    "DiversityFacts",
    "FailureFacts",
    "Funnel",
    "MoleculeSample",
    "Neighbour",
    "ObjectiveFacts",
    "PolicyStep",
    "RunFacts",
    "Scope",
    "SpaceMap",
    "Tradeoffs",
    "area_under_best",
    "batch_shares",
    "best_molecules",
    "call_rewards",
    "descent",
    "drawn_rewards",
    "draws_of",
    "first_rows",
    "funnel_of",
    "funnel_over_time",
    "learning_curve",
    "list_costs",
    "list_failures",
    "list_objectives",
    "list_run_facts",
    "map_space",
    "mean_of_top",
    "nearest_of",
    "pareto_front",
    "policy_descent",
    "rewards_by_calls",
    "sample_molecules",
    "sampler_totals",
    "samplers_over_time",
    "scope_of",
    "scores_of",
]
