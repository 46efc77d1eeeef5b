from .huggingface import HuggingFaceExport, export_huggingface
from .minari import MinariExport, export_minari

__all__ = ["HuggingFaceExport", "MinariExport", "export_huggingface", "export_minari"]
