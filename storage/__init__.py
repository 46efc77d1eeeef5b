"""The persistent store of runs, builds, samples, scores, policies and checkpoints.

``SampleStore`` is the public class; it takes and returns frozen records. This package imports neither torch nor RDKit
nor Prefect. Its layers, from top to bottom: ``store`` (the facade), ``opening``, ``verify``, ``archive``,
``maintenance``, ``history`` (reads of training) and ``query`` (queries of users), ``commits`` (the commit protocol),
``segments`` (Zarr) and ``policies``, ``catalog`` (DuckLake), ``layout``, ``backends`` (SQLite, Postgres) and ``files``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
