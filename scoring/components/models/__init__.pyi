from .chemprop_model import ChempropModel
from .onnx_model import OnnxModel

__all__ = ["ChempropModel", "OnnxModel"]
