from .actor_runs import actor_run, find_learner
from .agents import AgentPlace, agent_run_id
from .assemble import build_filters, build_objective, build_standardisation, build_template, run_settings
from .backlogs import backlogs_of_runs
from .campaign import Campaign, Workers, campaign_run, read_settings, reopen_campaign
from .flow_runs import current_run_id, inform, warn
from .logged import run_logs
from .named_policies import found_policy, unfit_policies, unknown_names, with_resolved_policies
from .pretrain_request import DEFAULT_MODEL, PretrainRequest
from .pretraining import check_before_a_run, check_request, prepare_pretraining, register
from .progress import Watch, backlog_bar, progress_bar, step_bar
from .resuming import check_resumed
from .stages import MakeBuilder, present_stage, train_stages
from .training import check_rows, offline_condition, prepare_offline, prepare_online, relabel_first

__all__ = [
    "DEFAULT_MODEL",
    "AgentPlace",
    "Campaign",
    "MakeBuilder",
    "PretrainRequest",
    "Watch",
    "Workers",
    "actor_run",
    "agent_run_id",
    "backlog_bar",
    "backlogs_of_runs",
    "build_filters",
    "build_objective",
    "build_standardisation",
    "build_template",
    "campaign_run",
    "check_before_a_run",
    "check_request",
    "check_resumed",
    "check_rows",
    "current_run_id",
    "find_learner",
    "found_policy",
    "inform",
    "offline_condition",
    "prepare_offline",
    "prepare_online",
    "prepare_pretraining",
    "present_stage",
    "progress_bar",
    "read_settings",
    "register",
    "relabel_first",
    "reopen_campaign",
    "run_logs",
    "run_settings",
    "step_bar",
    "train_stages",
    "unfit_policies",
    "unknown_names",
    "warn",
    "with_resolved_policies",
]
