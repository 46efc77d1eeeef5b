"""Training on stored rows alone: which rows of which stores, what is held out or relabelled, and what became of it.

``rows`` opens the sources as one index, ``relabel`` gives their rows rewards under another objective, ``split`` holds
some out, ``checks`` validates and evaluates on the way, ``report`` sets the policy beside its data, ``training`` puts
these together, and ``run`` makes a run of a lab of it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
