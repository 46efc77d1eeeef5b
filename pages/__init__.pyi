from .facts.area import area_under_best, mean_of_top
from .facts.costs import CostFacts, list_costs
from .facts.diversity import Cluster, DiversityFacts, Neighbour, diversity, nearest_of
from .facts.failures import FailureFacts, list_failures
from .facts.funnel import Funnel, funnel, funnel_of, funnel_over_time
from .facts.learning import CallCurve, call_rewards, drawn_rewards, learning_curve, rewards_by_calls
from .facts.lineage import Ancestor, PolicyStep, descent, draws_of, policy_descent, scores_of
from .facts.molecules import BestMolecule, ComponentValue, best_molecules, first_rows
from .facts.objectives import ComponentFacts, ObjectiveFacts, list_objectives
from .facts.runs import RunFacts, list_run_facts
from .facts.sample import MoleculeSample, sample_molecules
from .facts.samplers import batch_shares, sampler_totals, samplers_over_time
from .facts.scope import Scope, scope_of
from .facts.space import SpaceMap, map_space
from .facts.tradeoffs import Tradeoffs, pareto_front, tradeoffs
from .pictures import common_core, core_of, picture
from .report.comparison import Comparison, compare_runs
from .report.context import Reference, ReportOptions
from .report.report import make_report

__all__ = [
    "Ancestor",
    "BestMolecule",
    "CallCurve",
    "Cluster",
    "Comparison",
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
    "Reference",
    "ReportOptions",
    "RunFacts",
    "Scope",
    "SpaceMap",
    "Tradeoffs",
    "area_under_best",
    "batch_shares",
    "best_molecules",
    "call_rewards",
    "common_core",
    "compare_runs",
    "core_of",
    "descent",
    "diversity",
    "drawn_rewards",
    "draws_of",
    "first_rows",
    "funnel",
    "funnel_of",
    "funnel_over_time",
    "learning_curve",
    "list_costs",
    "list_failures",
    "list_objectives",
    "list_run_facts",
    "make_report",
    "map_space",
    "mean_of_top",
    "nearest_of",
    "pareto_front",
    "picture",
    "policy_descent",
    "rewards_by_calls",
    "sample_molecules",
    "sampler_totals",
    "samplers_over_time",
    "scope_of",
    "scores_of",
    "tradeoffs",
]
