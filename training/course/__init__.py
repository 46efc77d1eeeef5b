"""The course of a training beside its steps: stops, the ends of stages, and the guard against collapse."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
