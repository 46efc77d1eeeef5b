"""The explorer: a local web app on a store that may be in use, which is a marimo notebook of calls of this package.

``view`` follows the store, ``filters`` and ``grid`` find molecules, ``details``, ``neighbours``, ``runs`` and
``queries`` say what is known, ``export`` writes those that a reader selects, and ``session`` keeps what a reader has
chosen. ``html``, ``elements`` and ``page`` show it; ``app`` is the notebook, and ``serve`` serves it. None of them asks
for anything that is not on this machine.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
