from .assemble import build_filters, build_objective, build_standardisation, build_template
from .campaign import Campaign, campaign_run, read_settings, reopen_campaign
from .latents import latent_versions, publish_latents
from .named_policies import found_policy, last_policy, unknown_names, with_resolved_policies
from .offline_rows import offline_condition, refuse_archive, refuse_other_archive
from .pretrain_request import DEFAULT_MODEL, PretrainRequest
from .pretraining import check_request, prepare_pretraining, register
from .progress import progress_bar, step_bar
from .provenance import current_run_id, described_run
from .resuming import check_resumed
from .score_failures import ScoreFailures, check_kept, warn_of_empty
from .training import Training, prepare_offline, prepare_online

__all__ = [
    "DEFAULT_MODEL",
    "Campaign",
    "PretrainRequest",
    "ScoreFailures",
    "Training",
    "build_filters",
    "build_objective",
    "build_standardisation",
    "build_template",
    "campaign_run",
    "check_kept",
    "check_request",
    "check_resumed",
    "current_run_id",
    "described_run",
    "found_policy",
    "last_policy",
    "latent_versions",
    "offline_condition",
    "prepare_offline",
    "prepare_online",
    "prepare_pretraining",
    "progress_bar",
    "publish_latents",
    "read_settings",
    "refuse_archive",
    "refuse_other_archive",
    "register",
    "reopen_campaign",
    "step_bar",
    "unknown_names",
    "warn_of_empty",
    "with_resolved_policies",
]
