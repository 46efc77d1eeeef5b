"""The work on a store from Python, without Prefect: runs that build, train, score and sample, and the front door.

``front_door`` opens a store as a ``Lab``, whose reading methods are in ``stored_lab``. ``runs`` has its runs,
``offline`` the runs on stored rows alone, and ``recording`` records both. The other modules are used by ``flows``, too:
``training`` assembles a training, ``building`` makes the builds of its buffer, ``context`` has the settings that both
share, ``score_failures`` ends a run whose scorer fails, ``molecules`` scores molecules through the store and draws from
a policy, ``run_list`` lists runs, and ``provenance`` describes a run.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
