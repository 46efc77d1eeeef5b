"""Loggers: what a run has committed, written to TensorBoard, MLflow, and whatever another package registers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
