"""The persistent store: DuckLake catalog, Zarr segments, policies, selection. Knows no torch, rdkit or Prefect.

``SampleStore`` is the way in; what goes into it and comes out of it are the records of ``molbuffer.storage.records``.
"""

from molbuffer.storage.errors import QueryError, StoreError
from molbuffer.storage.files.places import Place
from molbuffer.storage.policies import PolicyFiles, content_sha256
from molbuffer.storage.store import SampleStore

__all__ = ["Place", "PolicyFiles", "QueryError", "SampleStore", "StoreError", "content_sha256"]
