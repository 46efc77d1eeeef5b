"""The explorer: a local web app that shows a store, also one that is in use, as a marimo notebook.

``view`` follows the store, ``filters`` and ``grid`` find molecules, ``details``, ``neighbours``, ``runs`` and
``queries`` describe molecules and runs, ``export`` writes selected molecules, and ``session`` keeps the choices of a
reader. ``html``, ``elements`` and ``page`` make the elements of the page; ``app`` is the notebook, and ``serve`` serves
it. The explorer makes no requests to other machines.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
