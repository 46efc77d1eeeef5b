"""The prior's likelihoods in the cache folder, for later runs on any store.

    CACHE/likelihoods/<key>/<random>.bin   the sequences of one training, with their log-probabilities

The key is the hash of the weights of the prior and of all else that the bits of a value depend on: the precision of
matrix products, the version of torch, the processor and the number of threads. Values of another prior, or of another
machine that shares the folder, are therefore never used. A file is written under another name, renamed, and never
changed. It ends with the sha256 of its content; a damaged file counts as missing. The folder can be deleted at any
time.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from molbuffer.samplers import Vocabulary, fingerprint
from molbuffer.samplers.models import GenerativeModel, Precision
from molbuffer.storage import default_folder

SUBFOLDER = "likelihoods"
MOST_BYTES = 64 << 20
"""The most bytes of the files of a prior: some 200,000 molecules. The oldest files are removed first."""
MOST_PRIORS = 16
"""The number of priors whose files are kept; those that were used longest ago are removed first."""
MOST_FILES = 8
"""The number of files of a prior from which on they are merged into one when new values are added."""
_SHA256_BYTES = 32

Values = NDArray[np.float32]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Portion:
    """The sequences of one file and the log-probabilities of their tokens, ordered by the hash of a sequence.

    Attributes:
        hashes: the hash of each sequence, uint64 [n], ascending.
        starts: the place of the first token of each sequence, and the number of all tokens, int64 [n + 1].
        tokens: the tokens of all sequences, int32 [T].
        values: the log-probability of each token, float32 [T].
    """

    hashes: NDArray[np.uint64]
    starts: NDArray[np.int64]
    tokens: NDArray[np.int32]
    values: Values

    @classmethod
    def of(cls, found: Mapping[bytes, Values]) -> Self:
        """Make a portion of values by sequence, which is given as the bytes of its int32 tokens."""
        keys = sorted(found, key=_hash)
        lengths = [len(found[key]) for key in keys]
        return cls(
            np.array([_hash(key) for key in keys], np.uint64),
            np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
            np.frombuffer(b"".join(keys), np.int32),
            np.concatenate([np.empty(0, np.float32), *(found[key] for key in keys)]),
        )

    def get(self, key: bytes) -> Values | None:
        """Return the values of a sequence; None if the portion does not have it."""
        place = int(np.searchsorted(self.hashes, np.uint64(_hash(key))))
        if place == len(self.hashes):
            return None
        inside = slice(self.starts[place], self.starts[place + 1])
        return self.values[inside] if self.tokens[inside].tobytes() == key else None

    def items(self) -> Mapping[bytes, Values]:
        """Return the values of all sequences by the bytes of their int32 tokens."""
        inside = [slice(*ends) for ends in zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True)]
        return {self.tokens[each].tobytes(): self.values[each] for each in inside}

    def to_bytes(self) -> bytes:
        """Return the portion as the content of a file."""
        sizes = np.array([len(self.hashes), len(self.tokens)], np.int64)
        content = b"".join(each.tobytes() for each in (sizes, self.hashes, self.starts, self.tokens, self.values))
        return content + hashlib.sha256(content).digest()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self | None:
        """Return the portion that ``to_bytes`` made the content of; None if the content is damaged."""
        body, said = content[:-_SHA256_BYTES], content[-_SHA256_BYTES:]
        if len(body) < 16 or hashlib.sha256(body).digest() != said:
            return None
        n, total = np.frombuffer(body, np.int64, 2).tolist()
        starts, tokens = 16 + 8 * n, 16 + 8 * n + 8 * (n + 1)
        return cls(
            np.frombuffer(body, np.uint64, n, 16),
            np.frombuffer(body, np.int64, n + 1, starts),
            np.frombuffer(body, np.int32, total, tokens),
            np.frombuffer(body, np.float32, total, tokens + 4 * total),
        )


@dataclass
class KeptLikelihoods:
    """The likelihoods of a prior that earlier trainings computed, in files.

    Attributes:
        folder: the folder of the files.
        most_bytes: the most bytes of all files.
    """

    folder: Path
    most_bytes: int = MOST_BYTES
    _portions: list[Portion] | None = field(default=None, init=False)

    @classmethod
    def of(cls, model: GenerativeModel, vocabulary: Vocabulary, precision: Precision = "float32") -> Self:
        """Return the likelihoods of a model with its present weights, on this machine, in a precision of products."""
        products = "bfloat16" if precision == "bfloat16" else "float32"
        libraries = (torch.__version__, torch.backends.cpu.get_cpu_capability())
        decides = (fingerprint(model, vocabulary), products, *libraries)
        machine = (platform.machine(), _processor(), torch.get_num_threads())
        key = hashlib.sha256(repr((*decides, *machine)).encode()).hexdigest()
        return cls(default_folder() / SUBFOLDER / key)

    def get(self, key: bytes) -> Values | None:
        """Return the values of a sequence, given as the bytes of its int32 tokens; None if they are not kept."""
        if self._portions is None:
            self._portions = [each for each in map(_read, _newest_first(self.folder)) if each is not None]
            with suppress(OSError):
                os.utime(self.folder)
        return next((values for each in self._portions if (values := each.get(key)) is not None), None)

    def add(self, found: Mapping[bytes, Values]) -> None:
        """Write new values to a file; log a warning if the folder cannot be written."""
        new = {key: values for key, values in found.items() if self.get(key) is None}
        if not new:
            return
        try:
            self._write(new)
            _keep_newest(self.folder.parent, MOST_PRIORS)
        except OSError as error:
            _log.warning("the prior's likelihoods could not be kept for later runs: %s", error)

    def _write(self, new: dict[bytes, Values]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        files = _newest_first(self.folder)
        replaced = files if len(files) >= MOST_FILES else []
        for file in replaced:
            new |= {} if (portion := _read(file)) is None else portion.items()
        written = self.folder / f"{uuid.uuid4().hex}.bin"
        aside = written.with_suffix(".part")
        aside.write_bytes(Portion.of(_within(new, self.most_bytes)).to_bytes())
        aside.replace(written)
        for file in replaced:
            file.unlink(missing_ok=True)
        total = 0
        for file in _newest_first(self.folder):
            total += file.stat().st_size
            if total > self.most_bytes and file != written:
                file.unlink(missing_ok=True)
        self._portions = None


def _within(found: dict[bytes, Values], most_bytes: int) -> dict[bytes, Values]:
    """Return as many of the first values as fit into a number of bytes."""
    sizes = np.cumsum([16 + 2 * len(key) for key in found])
    fitting = int((sizes <= most_bytes).sum())
    return dict(list(found.items())[:fitting])


def _hash(key: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")


def _read(file: Path) -> Portion | None:
    try:
        portion = Portion.from_bytes(file.read_bytes())
    except OSError:  # another process has merged the files of the prior
        return None
    if portion is None:
        _log.warning("%s is damaged, and its likelihoods are computed again", file)
        with suppress(OSError):
            file.unlink()
    return portion


def _newest_first(folder: Path) -> list[Path]:
    found = []
    for file in folder.glob("*.bin"):
        with suppress(FileNotFoundError):
            found.append((file.stat().st_mtime_ns, file.name, file))
    return [file for _, _, file in sorted(found, reverse=True)]


def _keep_newest(priors: Path, most: int) -> None:
    """Remove the files of all priors but the ``most`` that were used last."""
    for folder in sorted(priors.iterdir(), key=lambda each: each.stat().st_mtime, reverse=True)[most:]:
        for file in folder.glob("*.bin"):
            file.unlink(missing_ok=True)
        with suppress(OSError):  # another process writes there
            folder.rmdir()


def _processor() -> str:
    """Return the name of the processor; it is empty or rough on systems without /proc/cpuinfo."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line
    return platform.processor()
