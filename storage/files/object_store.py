"""Paths in an object store with the S3 protocol, for arrays, policies and checkpoints; DuckDB reads the tables there.

The credentials and the server come from the environment, by the names that every S3 program uses: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, and AWS_ENDPOINT_URL for a server other than Amazon's. They are
never written into a store. The client, obstore, is an extra: ``pip install 'molbuffer[s3]'``.
"""

from __future__ import annotations

import functools
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from molbuffer.storage.errors import ExtensionError, StorePlaceError

if TYPE_CHECKING:
    from obstore.store import S3Store

_ADDRESS = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/[A-Za-z0-9._/-]*)?")


@dataclass(frozen=True, order=True)
class ObjectPath:
    """An object, or a prefix of objects, in a bucket, with those methods of ``pathlib.Path`` that the store needs.

    Attributes:
        bucket: the name of the bucket.
        key: the name in the bucket, without leading and trailing slashes; empty for the whole bucket.
    """

    bucket: str
    key: str = ""

    @classmethod
    def of(cls, address: str) -> ObjectPath:
        """Return the place of an address such as ``s3://bucket/prefix``.

        Raises:
            StorePlaceError: the address has another protocol, or the bucket or prefix is malformed.
        """
        match = _ADDRESS.fullmatch(address)
        key = (match[2] or "").strip("/") if match else ""
        if match is None or any(part in ("", ".", "..") for part in key.split("/") if key):
            raise StorePlaceError(f"expected an address such as s3://bucket/prefix, got {address!r}")
        return cls(match[1], key)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}".rstrip("/")

    def __truediv__(self, name: str) -> ObjectPath:
        return ObjectPath(self.bucket, f"{self.key}/{name}".strip("/"))

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> ObjectPath:
        return ObjectPath(self.bucket, self.key.rpartition("/")[0])

    def exists(self) -> bool:
        """Return whether there is an object of this name, or any object below it."""
        return self.is_dir() or self._head() is not None

    def is_dir(self) -> bool:
        """Return whether there is an object below this prefix."""
        with _told_as_os_error(self):
            return any(True for portion in self._list(chunk_size=1) for _ in portion)

    def iterdir(self) -> Iterator[ObjectPath]:
        """Yield the objects and prefixes directly under this prefix."""
        import obstore

        with _told_as_os_error(self):
            found = obstore.list_with_delimiter(self._client, self.key)
        for key in (*found["common_prefixes"], *(each["path"] for each in found["objects"])):
            yield ObjectPath(self.bucket, key.strip("/"))

    def files(self) -> list[tuple[ObjectPath, int, float]]:
        """Return the object of this name and all objects below it.

        Returns:
            For each object its path, its size in bytes, and the time of its last write in seconds since the epoch.
        """
        with _told_as_os_error(self):
            found = [each for portion in self._list() for each in portion]
        own = self._head()
        return [
            (ObjectPath(self.bucket, each["path"]), each["size"], each["last_modified"].timestamp())
            for each in ([own] if own is not None else []) + found
        ]

    def is_absolute(self) -> bool:
        """Return True: an address means the same on every host."""
        return True

    def open(self, mode: Literal["rb"]) -> io.BytesIO:
        """Return the content of an object as a file object in memory.

        Raises:
            FileNotFoundError: there is no such object.
            OSError: the object cannot be read.
        """
        return io.BytesIO(self.read_bytes())

    def read_bytes(self) -> bytes:
        """Return the content of an object.

        Raises:
            FileNotFoundError: there is no such object.
            OSError: the object cannot be read.
        """
        import obstore

        with _told_as_os_error(self):
            return bytes(obstore.get(self._client, self.key).bytes())

    def read_text(self) -> str:
        """Return the content of an object as text."""
        return self.read_bytes().decode()

    def write_bytes(self, content: bytes | Path, *, new: bool = False) -> None:
        """Write an object, durably.

        Args:
            content: the content, or the local file to read it from, in portions.
            new: whether the object must not exist yet.

        Raises:
            FileExistsError: the object exists and ``new`` is true.
            OSError: the object cannot be written.
        """
        import obstore

        with _told_as_os_error(self):
            obstore.put(self._client, self.key, content, mode="create" if new else "overwrite")

    def remove(self) -> None:
        """Delete the object of this name, and all below it."""
        import obstore

        keys = [path.key for path, _, _ in self.files()]
        with _told_as_os_error(self):
            if keys:
                obstore.delete(self._client, keys)

    def client(self) -> S3Store:
        """Return a client for Zarr that sees only the objects below this prefix."""
        return _client(self.bucket, self.key)

    @property
    def _client(self) -> S3Store:
        return _client(self.bucket, "")

    def _head(self) -> Any:
        import obstore

        try:
            with _told_as_os_error(self):
                return obstore.head(self._client, self.key)
        except FileNotFoundError:
            return None

    def _list(self, chunk_size: int = 1000) -> Any:
        import obstore

        return obstore.list(self._client, self.key, chunk_size=chunk_size)


def credentials(place: ObjectPath) -> dict[str, str | None]:
    """Return the credentials in the environment as options of a DuckDB secret.

    Raises:
        StorePlaceError: the environment has no credentials.
    """
    names = {"KEY_ID": "AWS_ACCESS_KEY_ID", "SECRET": "AWS_SECRET_ACCESS_KEY"}
    if missing := [name for name in names.values() if not os.environ.get(name)]:
        raise StorePlaceError(f"{place} needs credentials: set {' and '.join(missing)} in the environment")
    return {key: os.environ[name] for key, name in names.items()} | {
        "SESSION_TOKEN": os.environ.get("AWS_SESSION_TOKEN")
    }


def server() -> dict[str, str | None]:
    """Return the address of the object store as options of a DuckDB secret; none of them is confidential."""
    endpoint = _endpoint()
    scheme, _, host = endpoint.rpartition("://") if endpoint else ("", "", "")
    return {
        "REGION": os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        "ENDPOINT": host.rstrip("/") or None,
        "URL_STYLE": "path" if endpoint else None,
        "USE_SSL": "false" if scheme == "http" else None,
    }


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


@functools.cache
def _client(bucket: str, prefix: str) -> S3Store:
    try:
        from obstore.store import S3Store
    except ImportError as error:
        raise ExtensionError("a store in s3:// needs obstore: pip install 'molbuffer[s3]'") from error
    endpoint = _endpoint()
    config: Any = {"region": server()["REGION"]} | ({"endpoint": endpoint} if endpoint else {})
    plain = bool(endpoint and endpoint.startswith("http://"))
    return S3Store(bucket, prefix=prefix or None, config=config, client_options={"allow_http": plain})


@contextmanager
def _told_as_os_error(path: ObjectPath) -> Iterator[None]:
    """Raise errors of the client as the ``OSError`` types of a file system, which callers distinguish."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        from obstore.exceptions import AlreadyExistsError, BaseError

        if isinstance(error, AlreadyExistsError):
            raise FileExistsError(f"{path} exists already") from error
        if isinstance(error, BaseError):
            raise OSError(f"{path} cannot be reached: {str(error).splitlines()[0]}") from error
        raise
