"""The persistent store: DuckLake catalog, Zarr segments, policies, selection. Knows no torch, rdkit or Prefect.

``SampleStore`` is the way in; what goes into it and comes out of it are the records of ``storage.records``.
"""

from storage.errors import QueryError, StoreError
from storage.places import Place
from storage.policies import PolicyFiles, content_sha256
from storage.store import SampleStore

__all__ = ["Place", "PolicyFiles", "QueryError", "SampleStore", "StoreError", "content_sha256"]
