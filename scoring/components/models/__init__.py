"""Components of trained models: ONNX models on fingerprints or descriptors, and Chemprop."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
