"""The cores that a process may use: a container or a batch system often grants fewer than the machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def available_cores(root: Path = Path("/")) -> int:
    """Return the number of cores that this process may use: those of its affinity, limited by its CPU quota.

    Args:
        root: the folder with ``proc`` and ``sys``.
    """
    return max(1, int(min([allowed_cores(), *_quotas(root)])))


def allowed_cores() -> int:
    """Return the number of cores in the affinity of this process, without regard to its CPU quota."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPU quotas of this process in cores: those of its control group and of all groups above."""
    mount = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Version 2 has one tree, version 1 a folder for each controller. In a container the path may be that of the
        # host, which is not mounted there; the top folder is the container's own group then.
        top = mount / controllers if (mount / controllers).is_dir() else mount / "cpu"
        group = top / path.strip("/")
        for folder in (group, *group.parents):
            yield from _quota(folder)
            if folder == top:
                break


def _quota(folder: Path) -> Iterator[float]:
    text = _text(folder / "cpu.max") or _text(folder / "cpu.cfs_quota_us") + _text(folder / "cpu.cfs_period_us")
    quota = text.split()
    if len(quota) == 2 and quota[0] not in ("max", "-1"):
        yield int(quota[0]) / int(quota[1])


def _text(file: Path) -> str:
    """Return the text of a file; empty if it cannot be read, as on systems without control groups."""
    try:
        return file.read_text()
    except OSError:
        return ""
