"""The cores that a process may use, by its affinity and by the CPU quota of its control groups."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from molbuffer.scoring.workers.cores import available_cores


@pytest.fixture
def cgroups(tmp_path: Path) -> Callable[..., Path]:
    """Writes a system's files on control groups; gives the folder that they are in."""

    def write(membership: str, **files: str) -> Path:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(membership)
        for name, text in files.items():
            path = tmp_path / "sys/fs/cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(16)))


V1 = "3:cpuset:/\n2:cpu,cpuacct:/job\n1:name=systemd:/a:b c\n"


@pytest.mark.usefixtures("many_cores")
@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        ("0::/job/step\n", {"job/step/cpu.max": "300000 100000\n"}, 3),
        ("0::/job/step\n", {"job/step/cpu.max": "max 100000\n", "job/cpu.max": "250000 100000\n"}, 2),
        ("0::/job/step\n", {"cpu.max": "50000 100000\n", "job/cpu.max": "250000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "400000 100000\n"}, 4),
        ("0::/not/mounted/here\n", {"cpu.max": "400000 100000\n"}, 4),
        ("0::/\n", {"cpu.max": "6400000 100000\n"}, 16),
        ("0::/\n", {}, 16),
        ("", {}, 16),
        (V1, {"cpu,cpuacct/job/cpu.cfs_quota_us": "300000\n", "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n"}, 3),
        (V1, {"cpu/job/cpu.cfs_quota_us": "300000\n", "cpu/job/cpu.cfs_period_us": "100000\n"}, 3),
        (V1, {"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        (V1, {"cpu/job/cpu.cfs_quota_us": "-1\n", "cpu/job/cpu.cfs_period_us": "100000\n"}, 16),
        (V1, {"cpuset/cpu.cfs_quota_us": "100000\n", "cpuset/cpu.cfs_period_us": "100000\n"}, 16),
    ],
)
def test_a_quota_bounds_the_cores(
    cgroups: Callable[..., Path], membership: str, files: dict[str, str], cores: int
) -> None:
    assert available_cores(cgroups(membership, **files)) == cores


def test_the_cores_of_this_machine_are_at_most_those_of_the_affinity() -> None:
    assert 1 <= available_cores() <= len(os.sched_getaffinity(0))


def test_cores_are_those_that_this_process_was_granted(tmp_path: Path) -> None:
    # In an empty root there are no control groups, and so no quota.
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert available_cores() == available_cores(tmp_path) == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert available_cores(tmp_path) == len(allowed)
