"""Policies as files, named by their content.

    policies/<sha256>/    weights.safetensors, config.json, vocabulary.json, or other files of the policy

A folder is written under another name, synced and renamed, so that it is complete or does not exist; two processes that
add one policy make the same folder. Adding an existing policy updates the time of its folder, so that a process that
removes policies sees that this one is about to be used. An object store cannot rename: a policy that a killed writer
left incomplete is completed when it is added again, and no row names it before. Every read compares the files with the
name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from molbuffer.storage.boundary import bounded
from molbuffer.storage.errors import PolicyDamagedError, StoreModeError, UnknownPolicyError
from molbuffer.storage.files import Place, Sync, entries, file_sha256, sync_paths, write_folder


def content_sha256(files: Mapping[str, bytes | Place]) -> str:
    """Return the identity of a policy: the sha256 of the names and contents of its files, in the order of the names.

    Args:
        files: the content of each file by name, or the file, which is read in portions.
    """
    digest = hashlib.sha256()
    for name in sorted(files):
        content = files[name]
        found = hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else file_sha256(content)
        digest.update(f"{name}\0{found}\n".encode())
    return digest.hexdigest()


def _store_of(policies: PolicyStore) -> Path | None:
    parent = policies._root.parent
    return parent if isinstance(parent, Path) and (parent / "store.toml").exists() else None


def _touch(folder: Path) -> bool:
    """Update the time of a policy's folder, which protects it from ``maintenance.prune``; return whether it exists."""
    try:
        os.utime(folder)
    except FileNotFoundError:
        return False
    return True


@bounded(_store_of)
class PolicyStore:
    """The policies whose weights a store keeps."""

    def __init__(
        self,
        root: Place,
        *,
        read_only: bool = False,
        sync: Sync = sync_paths,
        refusal: str | None = None,
        check_there: Callable[[], None] = lambda: None,
    ) -> None:
        self._root = root
        # Without this check, adding a policy would make the folder of a moved store again.
        self._check_there = check_there
        self._refusal = refusal or f"the store {root.parent} is open for reading only; policies cannot be added"
        self._read_only = read_only
        self._sync = sync

    def add(self, files: Mapping[str, bytes | Place]) -> str:
        """Store a policy durably; a policy that is kept already is left unchanged.

        Args:
            files: the content of each file by plain file name, or the file that it is copied from; at least one.

        Returns:
            The sha256 of the policy.

        Raises:
            StoreModeError: the store is open for reading.
            ValueError: there is no file, or a name is not plain.
        """
        if self._read_only:
            raise StoreModeError(self._refusal)
        if not files or any(not name or Path(name).name != name for name in files):
            raise ValueError(f"a policy needs files with plain names, got {sorted(files)}")
        self._check_there()
        sha256 = content_sha256(files)
        folder = self._root / sha256
        # In an object store, a killed writer may have left a part of it.
        if not isinstance(folder, Path) or not _touch(folder):
            write_folder(folder, files, self._sync)
        return sha256

    def folder(self, sha256: str) -> Place:
        """Return the folder of a policy, after a comparison of its files with its sha256.

        Raises:
            UnknownPolicyError: the store keeps no weights of the policy.
            PolicyDamagedError: the files differ from those that were added.
        """
        folder = self._root / sha256
        self._check_there()
        if sha256 not in self.kept():
            raise UnknownPolicyError(f"the store {self._root.parent} keeps no weights of policy {sha256!r}")
        found = content_sha256({file.name: file for file in folder.iterdir()})
        if found != sha256:
            raise PolicyDamagedError(
                f"policy {folder} is damaged: its files hash to {found}; restore the folder from a backup"
            )
        return folder

    def resolve(self, prefix: str) -> str:
        """Return the only sha256 of a kept policy that starts with ``prefix``.

        Raises:
            UnknownPolicyError: no policy matches, or more than one.
        """
        found = [sha256 for sha256 in self.kept() if sha256.startswith(prefix)]
        if len(found) != 1:
            names = ", ".join(sha256[:12] for sha256 in found[:5]) or "none"
            raise UnknownPolicyError(f"{prefix!r} must be the start of exactly one kept policy, got {names}")
        return found[0]

    def kept(self) -> list[str]:
        """Return the sha256 of every policy whose weights the store keeps, in alphabetical order."""
        return [path.name for path in entries(self._root) if not path.name.startswith(".")]
