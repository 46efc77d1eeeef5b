"""Loggers: they write what a run has committed to TensorBoard, MLflow, or a logger that another package registers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
