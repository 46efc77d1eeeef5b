"""The descriptions of all metrics, of which the reference of the documentation is made.

A name with braces stands for several metrics: ``share_{sampler}`` is one for each live sampler.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class MetricGroup:
    """A group of metrics.

    Attributes:
        title: the title of the group.
        text: when a run has such metrics, and which rows of the table they are.
        metrics: the description of each metric, by name.
    """

    title: str
    text: str
    metrics: Mapping[str, str]


METRIC_GROUPS: Sequence[MetricGroup] = (
    MetricGroup(
        "Of a sampler in one build",
        "Rows with a `build_id`, a `sampler` and an `event`.",
        {
            "drawn": "Rows that the sampler drew, rejected ones included.",
            "parseable": "Rows that are molecules.",
            "kept": "Rows that passed every filter.",
            "valid": "kept / drawn.",
            "diversity": "Different molecules / parseable.",
            "duplicates": "parseable less different molecules.",
            "rewards": "Mean reward of the kept rows that have one.",
            "new": "Share of the kept rows whose molecule had not occurred in the run, in row order.",
            "new_approximate": "`new` of a run with actors, without rows that actors had not committed yet.",
            "internal_diversity": "Mean of 1 - Tanimoto similarity over the pairs of 32 kept rows.",
            "scaffolds": "Different Bemis-Murcko scaffolds / rows, of the same 32.",
            "shortfall": "Kept rows that were still missing after five rounds of drawing; without a sampler, live rows "
            "of the batch that live samplers were short of.",
            "seconds": "Seconds from the first draw to the last score.",
            "policy_lag": "Of `history`, mean iterations since the run drew the rows; without a sampler, of the rows "
            "that "
            "came from the buffer, in all updates.",
            "similarity": "Of pairs: mean similarity of source and target.",
            "improvement": "Of pairs: mean reward of the target less that of the source.",
            "pair_rewards": "Of pairs: mean reward of the pairs.",
            "sources_unusable": "Of pairs: sources that are not molecules, or that the model cannot express.",
            "screened_out": "Rows that screening refused.",
            "screening_coverage": "Share of the rewards within the 90 % interval that screening expected.",
            "screening_correlation": "Spearman's correlation of expected and found rewards.",
            "screening_error": "Root mean square of expected less found rewards.",
        },
    ),
    MetricGroup(
        "Of an iteration of a training",
        "Rows without a sampler. Those of steps are means over the updates of the iteration.",
        {
            "loss": "Loss before the step.",
            "updates": "Number of gradient steps.",
            "reward": "Mean reward of the rows of the batch, as they are stored.",
            "reward_live": "Mean reward of the live rows of the batch.",
            "reward_buffer": "Mean reward of the stored rows of the batch.",
            "reward_later": "Mean reward of the rows of all updates but the first.",
            "share_{sampler}": "Share of the batch that the sampler drew live; `share_buffer` is the share of stored "
            "rows.",
            "policy_lag_median": "Median policy lag of the run's own rows from the buffer, in iterations.",
            "policy_lag_p90": "90th percentile of these policy lags.",
            "policy_lag_max": "Maximum of these policy lags.",
            "effective_sample_size": "(Σw)² / (n Σw²), w the importance weight of a row: 1 on policy, 1/n when one row "
            "outweighs all others.",
            "weight_mean": "Mean of the importance weights w; near 1 if the rows cover the draws of the policy.",
            "weight_max": "Largest importance weight w, in all updates.",
            "kl_behaviour": "Mean of log μ - log π: estimates the divergence from the behaviour policies.",
            "kl_prior": "Mean of log π - log q: estimates the divergence from the prior if all rows are draws of π.",
            "clipped": "Share of rows or tokens that the loss bounds.",
            "gradient_norm": "Norm of the gradient before it is scaled down.",
            "value_error": "Of a loss with a critic: mean squared error of the critic.",
            "explained_variance": "Of a loss with a critic: share of the variance of returns that the critic explains.",
            "seconds_waiting": "Seconds that the training waited for stored rows.",
            "seconds_drawing": "Seconds to draw, filter and score new rows, builds included.",
            "seconds_learning": "Seconds of the gradient steps.",
            "inserted": "Of a learner with actors: rows of actors with a reward that the learner sees.",
            "sampled": "Of a learner with actors: rows that it has taken from the buffer since the run began.",
            "surplus": "Of a learner with actors: samples that are due for the inserted rows, less those taken.",
            "snapshot": "Of a learner with actors: the snapshot of the rows that it sees.",
            "oracle_calls": "Different molecules that the run has asked its objective for, up to this iteration.",
            "stage": "Number of the stage, from 0; of a run with stages.",
            "best_reward": "Mean reward of the run's best molecules; of runs with `patience`.",
            "best_agent_reward": "Highest mean reward of live draws of the agent up to now; of runs that draw from the "
            "best agent.",
        },
    ),
    MetricGroup(
        "Of the diversity memory",
        "Rows of an iteration, with `[diversity]`.",
        {
            "buckets": "Number of buckets.",
            "full_buckets": "Number of full buckets.",
            "penalised": "Share of the rows whose penalty is below 1.",
            "found_by_others": "Number of molecules of other agents that were counted, at checkpoints of agents.",
            "bonus": "Mean bonus on the rewards of the rows; of runs with a bonus.",
            "bonus_error": "Loss of the network of the bonus before it learned from the iteration.",
        },
    ),
    MetricGroup(
        "Of the guard",
        "Rows of an iteration, with `[guard]`: the values that the guard watches, and its action when it acts.",
        {
            "valid_live": "Molecules / live rows of the policy in training.",
            "unique_live": "Different molecules / molecules, of these rows.",
            "entropy_live": "Mean of -log likelihood of a token of these rows, in nats.",
            "guard_valid": "Mean share of molecules that made the guard act.",
            "guard_unique": "Mean share of different molecules that made the guard act.",
            "guard_entropy": "Mean entropy that made the guard act.",
            "guard_kl_prior": "Mean divergence from the prior that made the guard act.",
            "guard_back_to": "Number of iterations of the policy that the guard restored.",
            "guard_pull": "Part of the way to the prior by which the guard moved the weights.",
            "guard_learning_rate": "Learning rate that the guard set.",
        },
    ),
    MetricGroup(
        "Of latent priors and vectors in training",
        "Rows of an iteration; `{sampler}` is the sampler whose latent prior or latent vectors learn.",
        {
            "latent_loss_{sampler}": "Loss before the step.",
            "latent_reward_{sampler}": "Mean reward of the rows of the sampler.",
            "latent_rows_{sampler}": "Number of rows of the sampler.",
            "latent_replayed_{sampler}": "Number of replayed rows that the latent prior learned from.",
            "latent_replay_weight_{sampler}": "Mean weight of the replayed rows.",
        },
    ),
    MetricGroup(
        "Of an offline training",
        "Validation and evaluations have rows at their iterations; `data_*` (all rows), `last_*` (the last 1,000) and "
        "`evaluation_*` (fresh draws of the policy) are the numbers of the table that the command prints.",
        {
            "validation_loss": "Loss of the held-out rows.",
            "validation_best_nll": "Negative log-likelihood of the best tenth of held-out rows, in nats a molecule.",
            "best_iteration": "Iteration of the policy that is the result.",
            **{
                f"{which}_{name}": text
                for which, of in (("data", "stored rows"), ("last", "last stored rows"), ("evaluation", "draws"))
                for name, text in (
                    ("rows", f"Number of {of}."),
                    (
                        "mean",
                        f"Mean reward of the {of}; a draw that is not a molecule, is rejected or has no reward counts "
                        "as 0.",
                    ),
                    ("top_10", f"Mean reward of the best 10 different molecules of the {of}."),
                    ("top_100", f"Mean reward of the best 100 different molecules of the {of}."),
                    ("uniqueness", f"Different molecules / molecules of the {of}."),
                    ("internal_diversity", f"Mean of 1 - similarity over pairs of the {of}."),
                )
            },
            "evaluation_validity": "Molecules / draws.",
            "evaluation_novelty": "Different molecules that are not among the rows / different molecules.",
            "evaluation_oracle_calls": "Different molecules that scores were asked for.",
            "off_policy_mean": "Off-policy estimate of the mean reward, from held-out rows.",
            "off_policy_low": "Lower end of the interval of 95 % of the estimate.",
            "off_policy_high": "Upper end of the interval of 95 % of the estimate.",
            "off_policy_effective_sample_size": "Number of the policy's own draws that give as precise an estimate.",
        },
    ),
    MetricGroup(
        "Of a pretraining",
        "Rows of iteration 0 of a run of kind `pretrain`. Names with `_before` are metrics of the policy that the "
        "training started from.",
        {
            "molecules": "Different molecules of the file that were used.",
            "pairs": "Different pairs of the file that were used.",
            "rejected": "Rows of the file that could not be used.",
            "held_out_nll": "Negative log-likelihood of held-out molecules, in nats a molecule; of latent models a "
            "bound.",
            "reconstruction": "Of latent models: share of held-out molecules that decode from their own latent "
            "vectors.",
            "validity": "Molecules / draws of the model.",
            "uniqueness": "Different molecules / molecules.",
            "novelty": "Different molecules that are not in the file / different molecules.",
            "min_similarity": "Of models of pairs: the least similarity of held-out sources to their targets.",
            "max_similarity": "Of models of pairs: the largest similarity of held-out sources to their targets.",
            "within_similarity": "Of models of pairs: draws within these bounds / draws.",
            "old_nll": "Of transfer learning: negative log-likelihood of draws of the old policy under the new policy, "
            "in nats a molecule.",
            "old_nll_before": "Negative log-likelihood of these draws under the old policy itself.",
            "forgetting": "`old_nll` less `old_nll_before`.",
            "held_out_nll_before": "`held_out_nll` under the old policy.",
            "validity_before": "`validity` of the old policy.",
            "uniqueness_before": "`uniqueness` of the old policy.",
            "novelty_before": "`novelty` of the old policy.",
        },
    ),
)
"""All metrics that molbuffer writes, in the order of the reference."""


def described(name: str) -> str | None:
    """Return the description of a metric, by its name in the store; None for a metric that molbuffer does not write."""
    for group in METRIC_GROUPS:
        for pattern, text in group.metrics.items():
            if re.fullmatch(re.sub(r"\\\{\w+\\\}", ".+", re.escape(pattern)), name):
                return text
    return None
