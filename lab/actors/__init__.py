"""Actors and learner: processes that draw rows for a training, and the training that learns from these rows.

They communicate through the store alone. An actor is a run whose parent is the run of the learner. It draws with the
policy of the learner's last checkpoint and commits its builds; the learner follows the snapshots. ``progress`` reads
the progress of both from the store, ``acting`` is the work of an actor, and ``following`` the work of the learner.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
