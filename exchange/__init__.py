"""Exchange with the field's other tools: loggers of runs, exports of stores, and imports of files of other programs.

``loggers`` write what runs have committed to TensorBoard, MLflow and the like; ``exports`` write a store as a data set
of Minari or of Hugging Face; ``ingest`` brings the logs of other programs and tables of assays into a store.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
