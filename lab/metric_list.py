"""What every metric means: the one place where it is said.

The reference of the documentation is made of these texts. A name with braces stands for several metrics:
``share_{sampler}`` is one for each live sampler.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class MetricGroup:
    """Metrics that belong together.

    Attributes:
        title: what they are of.
        text: when there are such metrics, and what a row of them is of.
        metrics: what each means, by name.
    """

    title: str
    text: str
    metrics: Mapping[str, str]


METRIC_GROUPS: Sequence[MetricGroup] = (
    MetricGroup(
        "Of a sampler in one build",
        "Rows with a `build_id`, a `sampler` and an `event`.",
        {
            "drawn": "Rows that were asked of the generator, rejected ones included.",
            "parseable": "Rows that are molecules.",
            "kept": "Rows that passed every filter.",
            "valid": "kept / drawn.",
            "diversity": "Different molecules / parseable.",
            "duplicates": "parseable less different molecules.",
            "rewards": "Mean reward of the kept rows that have one.",
            "new": "Share of the kept rows whose molecule had not occurred in the run, in row order.",
            "new_approximate": "The same where actors draw for the run, without what they had not committed by then.",
            "internal_diversity": "Mean of 1 - Tanimoto similarity over the pairs of 32 kept rows.",
            "scaffolds": "Different Bemis-Murcko scaffolds / rows, of the same 32.",
            "shortfall": "Kept rows that were still missing after five rounds of drawing; without a sampler, live rows "
            "of the batch that the buffer or other samplers made up for.",
            "seconds": "From the first draw to the last score.",
            "policy_lag": "Of `history`, mean iterations since the run drew the rows; without a sampler, of the rows "
            "that "
            "came from the buffer, in all updates.",
            "similarity": "Of pairs: mean similarity of source and target.",
            "improvement": "Of pairs: mean reward of the target less that of the source.",
            "pair_rewards": "Of pairs: mean reward of the pairs.",
            "sources_unusable": "Of pairs: sources that were no molecule, or that the model cannot express.",
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
            "loss": "Of the step.",
            "updates": "Gradient steps.",
            "reward": "Mean reward of the rows of the batch, as they are stored.",
            "reward_live": "Of its live rows.",
            "reward_buffer": "Of its stored rows.",
            "reward_later": "Mean reward of the rows of all updates but the first.",
            "share_{sampler}": "Share of the batch that the sampler drew live; `share_buffer` is that of the buffer.",
            "policy_lag_median": "Median of the iterations since the run drew the rows from the buffer.",
            "policy_lag_p90": "Their 90th percentile.",
            "policy_lag_max": "Their maximum.",
            "effective_sample_size": "(Σw)² / (n Σw²), w the likelihood of a row under the policy over that under "
            "the one "
            "that drew it: 1 on policy, 1/n when one row outweighs all others.",
            "weight_mean": "Mean of w; near 1 where the rows cover what the policy draws.",
            "weight_max": "Largest w, in all updates.",
            "kl_behaviour": "Mean of log μ - log π: estimates the divergence of the policy from those that drew the "
            "rows.",
            "kl_prior": "Mean of log π - log q: estimates the divergence from the prior where all rows are draws of π.",
            "clipped": "Share of rows or tokens that the loss bounds.",
            "gradient_norm": "Norm of the gradient before it is scaled down.",
            "value_error": "Of a loss with a critic: mean square of the critic's error.",
            "explained_variance": "Of a loss with a critic: share of the variance of returns that it explains.",
            "seconds_waiting": "Time that the training waited for stored rows.",
            "seconds_drawing": "Time to draw, filter and score new rows, builds included.",
            "seconds_learning": "Time of the steps.",
            "inserted": "Rows of actors with a reward that the training sees; of one with actors.",
            "sampled": "Rows that it has taken from the buffer since the run began; of one with actors.",
            "surplus": "Samples that are due for the inserted rows, less those taken; of one with actors.",
            "snapshot": "The snapshot of the rows that it sees; of one with actors.",
            "oracle_calls": "Different molecules that the run has asked its objective for, up to this iteration.",
            "stage": "Number of the stage, from 0; of a run with stages.",
            "best_reward": "Mean reward of the run's best molecules; with `patience`.",
            "best_agent_reward": "Mean reward that the best agent had when it was in training; with that.",
        },
    ),
    MetricGroup(
        "Of the diversity memory",
        "Rows of an iteration, with `[diversity]`.",
        {
            "buckets": "Number of buckets.",
            "full_buckets": "Number of those that are full.",
            "penalised": "Share of the rows whose reward was less to the learner than in the store.",
            "found_by_others": "Number of molecules of other agents that began to count; at checkpoints of agents.",
            "bonus": "Mean of what was added to the rewards of the rows; with a bonus.",
            "bonus_error": "Loss of the bonus' network before it learned from the iteration.",
        },
    ),
    MetricGroup(
        "Of the guard",
        "Rows of an iteration, with `[guard]`: what it watches, and what it did when it acted.",
        {
            "valid_live": "Share of molecules among what the policy in training drew live.",
            "unique_live": "Share of different ones among these.",
            "entropy_live": "Mean of -log likelihood of a token, in nats.",
            "guard_valid": "Mean share of molecules that made it act.",
            "guard_unique": "Mean share of different ones that made it act.",
            "guard_entropy": "Mean entropy that made it act.",
            "guard_kl_prior": "Mean divergence from the prior that made it act.",
            "guard_back_to": "Number of iterations of the checkpoint that it went back to.",
            "guard_pull": "Part of the way to the prior that it went.",
            "guard_learning_rate": "Learning rate that it set.",
        },
    ),
    MetricGroup(
        "Of latent priors and vectors in training",
        "Rows of an iteration; `{sampler}` is the sampler whose prior or vectors learn.",
        {
            "latent_loss_{sampler}": "Loss of the step.",
            "latent_reward_{sampler}": "Mean reward of its rows.",
            "latent_rows_{sampler}": "Number of its rows.",
            "latent_replayed_{sampler}": "Number of earlier rows that it learned from as well.",
            "latent_replay_weight_{sampler}": "Mean weight of these.",
        },
    ),
    MetricGroup(
        "Of an offline training",
        "Validation and evaluations have rows at their iterations; `data_*` (all rows), `last_*` (the last 1,000) and "
        "`evaluation_*` (fresh draws of the policy) are the numbers of the table that the command prints.",
        {
            "validation_loss": "Loss of held-out rows.",
            "validation_best_nll": "Negative log-likelihood of the best tenth of them, in nats a molecule.",
            "best_iteration": "Iteration of the policy that is the result.",
            **{
                f"{which}_{name}": text
                for which, of in (("data", "stored rows"), ("last", "last stored rows"), ("evaluation", "draws"))
                for name, text in (
                    ("rows", f"Number of {of}."),
                    (
                        "mean",
                        f"Mean reward of the {of}; draws that are no molecule, are rejected or have none count as 0.",
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
            "off_policy_mean": "Estimate of the mean reward without drawing, from held-out rows.",
            "off_policy_low": "Lower end of its interval of 95 %.",
            "off_policy_high": "Upper end of its interval of 95 %.",
            "off_policy_effective_sample_size": "Number of rows that the estimate is worth.",
        },
    ),
    MetricGroup(
        "Of a pretraining",
        "Rows of iteration 0 of a run of kind `pretrain`. Names with `_before` are those of the policy that it went "
        "on from.",
        {
            "molecules": "Different molecules of the file that were used.",
            "pairs": "Different pairs of the file that were used.",
            "rejected": "Rows of the file that could not be.",
            "held_out_nll": "Negative log-likelihood of molecules that were held out, in nats; of latent models a "
            "bound.",
            "reconstruction": "Of latent models: share of held-out molecules that decode from their own latent "
            "vectors.",
            "validity": "Molecules / draws of the model.",
            "uniqueness": "Different molecules / molecules.",
            "novelty": "Different molecules that are not in the file / different molecules.",
            "min_similarity": "Of models of pairs: the least similarity of held-out sources to their targets.",
            "max_similarity": "Of models of pairs: the greatest.",
            "within_similarity": "Of models of pairs: draws within these bounds / draws.",
            "old_nll": "Of transfer learning: negative log-likelihood of draws of the old policy, in nats.",
            "old_nll_before": "That under the old policy itself.",
            "forgetting": "The difference of the two.",
            "held_out_nll_before": "That under the old policy.",
            "validity_before": "That of the old policy.",
            "uniqueness_before": "That of the old policy.",
            "novelty_before": "That of the old policy.",
        },
    ),
)
"""All metrics that molbuffer writes, in the order of the reference."""


def described(name: str) -> str | None:
    """Return what a metric means, by its name in the store; None for one that molbuffer does not write itself."""
    for group in METRIC_GROUPS:
        for pattern, text in group.metrics.items():
            if re.fullmatch(re.sub(r"\\\{\w+\\\}", ".+", re.escape(pattern)), name):
                return text
    return None
