"""The prior's likelihoods in the cache folder, for further runs of any store.

    CACHE/likelihoods/<key>/<random>.bin   the sequences and their values, that one training has computed

The key is the hash of the prior's weights and of what else decides the bits of a value: the precision of products,
torch, the processor and the number of threads. So values of another prior, or of another machine with the same folder,
are never used. A file is written aside and renamed, never changed, and has the sha256 of its content at its end; one
that is damaged counts as missing. The folder can be deleted at any time.
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
"""What the files of a prior may take: some 200,000 molecules. The oldest go first."""
MOST_PRIORS = 16
"""The priors that are kept; those used longest ago go first."""
MOST_FILES = 8
"""With more files, a prior's are made one when the next values are kept."""
_SHA256_BYTES = 32

Values = NDArray[np.float32]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Portion:
    """Sequences of one file with their values, by the hash of a sequence.

    Attributes:
        hashes: uint64 [n], rising.
        starts: int64 [n + 1], where the tokens of each sequence begin.
        tokens: int32 [T].
        values: float32 [T].
    """

    hashes: NDArray[np.uint64]
    starts: NDArray[np.int64]
    tokens: NDArray[np.int32]
    values: Values

    @classmethod
    def of(cls, found: Mapping[bytes, Values]) -> Self:
        """Return values by the bytes of int32 tokens."""
        keys = sorted(found, key=_hash)
        lengths = [len(found[key]) for key in keys]
        return cls(
            np.array([_hash(key) for key in keys], np.uint64),
            np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
            np.frombuffer(b"".join(keys), np.int32),
            np.concatenate([np.empty(0, np.float32), *(found[key] for key in keys)]),
        )

    def get(self, key: bytes) -> Values | None:
        """Return the values of a sequence; None if it has none."""
        place = int(np.searchsorted(self.hashes, np.uint64(_hash(key))))
        if place == len(self.hashes):
            return None
        inside = slice(self.starts[place], self.starts[place + 1])
        return self.values[inside] if self.tokens[inside].tobytes() == key else None

    def items(self) -> Mapping[bytes, Values]:
        """Return all values by the bytes of int32 tokens."""
        inside = [slice(*ends) for ends in zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True)]
        return {self.tokens[each].tobytes(): self.values[each] for each in inside}

    def to_bytes(self) -> bytes:
        """Return the content of a file."""
        sizes = np.array([len(self.hashes), len(self.tokens)], np.int64)
        content = b"".join(each.tobytes() for each in (sizes, self.hashes, self.starts, self.tokens, self.values))
        return content + hashlib.sha256(content).digest()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self | None:
        """Return the content of a file as ``to_bytes`` made it; None if it is not that."""
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
    """The likelihoods of a prior that earlier trainings computed.

    Attributes:
        folder: the folder of their files.
        most_bytes: what the files may take.
    """

    folder: Path
    most_bytes: int = MOST_BYTES
    _portions: list[Portion] | None = field(default=None, init=False)

    @classmethod
    def of(cls, model: GenerativeModel, vocabulary: Vocabulary, precision: Precision = "float32") -> Self:
        """Return those of a model with its present weights, on this machine, with products of values in a precision."""
        products = "bfloat16" if precision == "bfloat16" else "float32"
        libraries = (torch.__version__, torch.backends.cpu.get_cpu_capability())
        decides = (fingerprint(model, vocabulary), products, *libraries)
        machine = (platform.machine(), _processor(), torch.get_num_threads())
        key = hashlib.sha256(repr((*decides, *machine)).encode()).hexdigest()
        return cls(default_folder() / SUBFOLDER / key)

    def get(self, key: bytes) -> Values | None:
        """Return the values of a sequence; None if none are kept."""
        if self._portions is None:
            self._portions = [each for each in map(_read, _newest_first(self.folder)) if each is not None]
            with suppress(OSError):
                os.utime(self.folder)
        return next((values for each in self._portions if (values := each.get(key)) is not None), None)

    def add(self, found: Mapping[bytes, Values]) -> None:
        """Keep further values; a folder that cannot be written is a warning."""
        new = {key: values for key, values in found.items() if self.get(key) is None}
        if not new:
            return
        try:
            self._write(new)
            _keep_newest(self.folder.parent, MOST_PRIORS)
        except OSError as error:
            _log.warning("the prior's likelihoods are not kept for further runs: %s", error)

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
    """Return as many values as fit, those first that come first."""
    sizes = np.cumsum([16 + 2 * len(key) for key in found])
    fitting = int((sizes <= most_bytes).sum())
    return dict(list(found.items())[:fitting])


def _hash(key: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")


def _read(file: Path) -> Portion | None:
    try:
        portion = Portion.from_bytes(file.read_bytes())
    except OSError:  # another process has made the files of the prior one
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
    """Remove the files of all priors but those used last."""
    for folder in sorted(priors.iterdir(), key=lambda each: each.stat().st_mtime, reverse=True)[most:]:
        for file in folder.glob("*.bin"):
            file.unlink(missing_ok=True)
        with suppress(OSError):  # another process writes there
            folder.rmdir()


def _processor() -> str:
    """Return the name of the processor, as far as the system says it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line
    return platform.processor()
