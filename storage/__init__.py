"""The persistent store of runs, builds, samples, scores, policies and checkpoints.

``SampleStore`` is the way in; what goes into it and comes out of it are frozen records. The room knows neither torch
nor RDKit nor Prefect. From top to bottom: ``store`` (the facade), ``opening``, ``verify``, ``archive``,
``maintenance``, ``history`` (what training reads) and ``query`` (what people ask), ``commits`` (the commit protocol),
``segments`` (Zarr) and ``policies``, ``catalog`` (DuckLake), ``layout``, ``backends`` (SQLite, Postgres) and ``files``.
"""

from molbuffer.storage.errors import QueryError, StoreError
from molbuffer.storage.files.places import Place
from molbuffer.storage.policies import PolicyStore, content_sha256
from molbuffer.storage.store import SampleStore

__all__ = ["Place", "PolicyStore", "QueryError", "SampleStore", "StoreError", "content_sha256"]
