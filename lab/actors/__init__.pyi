from .acting import Actor, ActorChunk, ActorPlan, PresentPolicy
from .following import ActorsPlan, FollowedActors
from .progress import ActorRun, PublishedPolicy, actor_run_id, actors_of, learner_state

__all__ = [
    "Actor",
    "ActorChunk",
    "ActorPlan",
    "ActorRun",
    "ActorsPlan",
    "FollowedActors",
    "PresentPolicy",
    "PublishedPolicy",
    "actor_run_id",
    "actors_of",
    "learner_state",
]
