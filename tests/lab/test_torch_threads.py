"""Threads of torch, as a process of its own really has them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from molbuffer.lab import torch_threads
from molbuffer.lab.torch_threads import MOST_THREADS, SPINS, limit_threads
from molbuffer.scoring.workers.cores import available_cores

VARIABLES = (*torch_threads.NUMBER_VARIABLES, *torch_threads.WAITING_VARIABLES)
OURS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": str(SPINS)}
TELL = f"""
import json, os, torch
print(json.dumps([torch.get_num_threads(), {{n: os.environ[n] for n in {VARIABLES} if n in os.environ}}]))
"""
LIMIT = "from pathlib import Path; from molbuffer.lab.torch_threads import limit_threads\n"
BEFORE = LIMIT + "limit_threads(Path({root!r}))" + TELL
AFTER = "import torch\n" + LIMIT + "limit_threads(Path({root!r}))" + TELL


def told(code: str, root: Path = Path("/"), cores: int | None = None, **environment: str) -> Any:
    """What a process has after it ran ``code``: its threads, and those of the variables that are set."""
    start = "" if cores is None else f"import os; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{cores}])\n"
    command = [sys.executable, "-c", start + code.replace("{root!r}", repr(str(root)))]
    return json.loads(subprocess.run(command, env=_unset() | environment, check=True, capture_output=True).stdout)


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of this process, for a test alone; torch seems not to be imported yet."""
    environment: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", environment)
    monkeypatch.delitem(sys.modules, "torch")
    return environment


def test_a_process_has_no_more_threads_than_cores_and_they_wait_asleep(tmp_path: Path) -> None:
    threads = min(len(os.sched_getaffinity(0)), MOST_THREADS)
    assert told(BEFORE, tmp_path) == [threads, {"OMP_NUM_THREADS": str(threads), **OURS}]
    assert told(BEFORE, tmp_path, cores=1) == [1, {"OMP_NUM_THREADS": "1", **OURS}]


def test_a_quota_counts_in_a_process(tmp_path: Path) -> None:
    for name, text in {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"}.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    assert told(BEFORE, tmp_path) == [1, {"OMP_NUM_THREADS": "1", **OURS}]


@pytest.mark.parametrize("name", torch_threads.NUMBER_VARIABLES)
def test_the_number_that_the_user_set_counts(name: str) -> None:
    assert told(BEFORE, **{name: "1"}) == [1, {name: "1", **OURS}]


@pytest.mark.parametrize("name", torch_threads.WAITING_VARIABLES)
def test_the_waiting_that_the_user_set_counts(name: str, no_variables: dict[str, str]) -> None:
    no_variables[name] = "7"
    limit_threads()
    assert no_variables.keys() & set(VARIABLES) == {name, "OMP_NUM_THREADS"}
    assert no_variables[name] == "7"


def test_where_torch_is_there_already_one_thread_waits_for_none(tmp_path: Path) -> None:
    assert told(AFTER, tmp_path) == [1, {"OMP_NUM_THREADS": "1", **OURS}]
    threads = min(len(os.sched_getaffinity(0)), MOST_THREADS)
    waiting = {"OMP_WAIT_POLICY": "PASSIVE"}
    assert told(AFTER, tmp_path, **waiting) == [threads, {"OMP_NUM_THREADS": str(threads), **waiting}]


def test_a_number_that_was_given_to_torch_stays() -> None:
    threads, variables = told("import torch; torch.set_num_threads(7)\n" + AFTER)
    assert (threads, variables) == (7, {"OMP_NUM_THREADS": "7", **OURS})


def test_a_second_call_changes_nothing(no_variables: dict[str, str]) -> None:
    limit_threads()
    once = dict(no_variables)
    limit_threads()
    assert no_variables == once


def test_the_command_line_limits_them_and_openmp_takes_both_settings() -> None:
    code = "import sys; from molbuffer.flows import cli; sys.argv = ['molbuffer', 'config', 'example']\n"
    code += "try:\n    cli.main()\nexcept SystemExit:\n    assert 'torch' not in sys.modules\nprint()" + TELL
    command, environment = [sys.executable, "-c", code], {**_unset(), "OMP_DISPLAY_ENV": "VERBOSE"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    threads = min(available_cores(), MOST_THREADS)
    assert json.loads(done.stdout.splitlines()[-1]) == [threads, {"OMP_NUM_THREADS": str(threads), **OURS}]
    if "GOMP_SPINCOUNT" in done.stderr:  # another OpenMP than GNU's has no such variable
        # Of the policy alone it would be 0.
        assert f"GOMP_SPINCOUNT = '{SPINS}'" in done.stderr


def test_an_import_changes_nothing_and_flows_of_a_worker_import_torch_only_when_they_run() -> None:
    flows = ", ".join(
        f"molbuffer.flows.{name}" for name in ("build_buffer", "train", "train_offline", "pretrain", "maintain")
    )
    deployed = f"import sys\nimport {flows}\nassert 'torch' not in sys.modules\n"
    others = "import molbuffer.flows.tasks.building, molbuffer.flows.cli\n"
    assert told(deployed + others + TELL)[1] == {}


def test_tests_have_one_thread_each_unless_told() -> None:
    # That of MKL goes before where there are both.
    given = next(os.environ[name] for name in ("MKL_NUM_THREADS", "OMP_NUM_THREADS") if name in os.environ)
    assert torch.get_num_threads() == int(given)


def _unset() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in VARIABLES}
