"""Actors and a learner apart: processes that draw rows for a training, and the training that learns from them.

They meet in the store alone. An actor is a run whose parent is the run of the learner. It draws with the policy of the
learner's last checkpoint and commits; the learner follows the snapshots. ``progress`` asks the store how far each of
them is, ``acting`` is the work of an actor, and ``following`` is the side of the learner.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
