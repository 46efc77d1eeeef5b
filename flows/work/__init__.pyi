from .acting import make_actor, run_actor
from .backlog import run_score_pending
from .building import run_build
from .offline import run_offline
from .online import run_online
from .pretraining import run_pretraining

__all__ = [
    "make_actor",
    "run_actor",
    "run_build",
    "run_offline",
    "run_online",
    "run_pretraining",
    "run_score_pending",
]
