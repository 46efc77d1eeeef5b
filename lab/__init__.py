"""The work on a store, of objects and without Prefect: runs that build, train, score and sample, and the front door.

``front_door`` opens a store as a ``Lab``, of which ``stored_lab`` is what reads; ``runs`` has its runs and ``offline``
those on stored rows alone, which ``recording`` records. Below them, and used by ``flows`` as well: ``training``
assembles a training, ``building`` makes the builds of its buffer, ``context`` is what both share, ``score_failures``
ends a run whose scorer fails, ``molecules`` scores molecules through the store and draws from a policy, ``run_list``
lists runs, and ``provenance`` describes one.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
