"""The persistent store of runs, builds, samples, scores, policies and checkpoints.

``SampleStore`` is the way in; what goes into it and comes out of it are frozen records. The room knows neither torch
nor RDKit nor Prefect. From top to bottom: ``store`` (the facade), ``opening``, ``verify``, ``archive``,
``maintenance``, ``history`` (what training reads) and ``query`` (what people ask), ``commits`` (the commit protocol),
``segments`` (Zarr) and ``policies``, ``catalog`` (DuckLake), ``layout``, ``backends`` (SQLite, Postgres) and ``files``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
