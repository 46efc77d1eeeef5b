from .onnx_model import OnnxModel

__all__ = ["OnnxModel"]
