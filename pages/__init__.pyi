from .facts.area import area_under_best, mean_of_top
from .facts.funnel import Funnel, funnel, funnel_of, funnel_over_time
from .facts.learning import (
    CallCurve,
    drawn_rewards,
    learning_curve,
    metric_names,
    rewards_by_calls,
)
from .facts.molecules import BestMolecule, ComponentValue, best_molecules, first_rows
from .facts.objectives import ComponentFacts, ObjectiveFacts, list_objectives
from .facts.runs import RunFacts, list_run_facts
from .facts.samplers import batch_shares, sampler_totals, samplers_over_time
from .facts.scope import Scope, scope_of

__all__ = [
    "BestMolecule",
    "CallCurve",
    "ComponentFacts",
    "ComponentValue",
    "Funnel",
    "ObjectiveFacts",
    "RunFacts",
    "Scope",
    "area_under_best",
    "batch_shares",
    "best_molecules",
    "drawn_rewards",
    "first_rows",
    "funnel",
    "funnel_of",
    "funnel_over_time",
    "learning_curve",
    "list_objectives",
    "list_run_facts",
    "mean_of_top",
    "metric_names",
    "rewards_by_calls",
    "sampler_totals",
    "samplers_over_time",
    "scope_of",
]
