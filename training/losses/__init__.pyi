from .augmented_likelihood import (
    AugmentedHillClimb,
    OffPolicyReinvent,
    Reinvent,
    augmented_hill_climb,
    off_policy_reinvent,
    reinvent,
)
from .balance import TrajectoryBalance, trajectory_balance
from .base import LOSSES, Loss, ScoredSequences, StatefulLoss, ValidOn, row_mean
from .baselines import (
    BASELINES,
    Baseline,
    group_advantages,
    leave_one_out,
    mean_reward,
    no_baseline,
    regularised_rewards,
)
from .cloning import (
    AdvantageWeighted,
    FilteredCloning,
    TopShareLikelihood,
    advantage_weighted,
    filtered_cloning,
    top_share_likelihood,
)
from .conservatism import Conservative, conservative, conservative_terms
from .policy_gradients import ImportanceWeighted, Reinforce, importance_weighted, reinforce
from .preferences import DPO, dpo, ranked_pairs
from .proximal import GRPO, GSPO, PPO, grpo, gspo, ppo
from .ratios import effective_sample_size, kl_k3, truncated_weights, vtrace_weights

__all__ = [
    "BASELINES",
    "DPO",
    "GRPO",
    "GSPO",
    "LOSSES",
    "PPO",
    "AdvantageWeighted",
    "AugmentedHillClimb",
    "Baseline",
    "Conservative",
    "FilteredCloning",
    "ImportanceWeighted",
    "Loss",
    "OffPolicyReinvent",
    "Reinforce",
    "Reinvent",
    "ScoredSequences",
    "StatefulLoss",
    "TopShareLikelihood",
    "TrajectoryBalance",
    "ValidOn",
    "advantage_weighted",
    "augmented_hill_climb",
    "conservative",
    "conservative_terms",
    "dpo",
    "effective_sample_size",
    "filtered_cloning",
    "group_advantages",
    "grpo",
    "gspo",
    "importance_weighted",
    "kl_k3",
    "leave_one_out",
    "mean_reward",
    "no_baseline",
    "off_policy_reinvent",
    "ppo",
    "ranked_pairs",
    "regularised_rewards",
    "reinforce",
    "reinvent",
    "row_mean",
    "top_share_likelihood",
    "trajectory_balance",
    "truncated_weights",
    "vtrace_weights",
]
