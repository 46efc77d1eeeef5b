"""Offline training, on stored rows alone: its sources, held-out rows, relabelling, validation, and report.

``rows`` opens the sources as one index, ``relabel`` gives their rows rewards under another objective, ``split`` holds
some rows out, ``checks`` validates and evaluates the policy during the training, ``report`` compares the policy with
its data, ``training`` assembles these parts, and ``run`` records the training as a run of a lab.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
