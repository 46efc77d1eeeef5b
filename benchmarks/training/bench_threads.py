"""Time a draw and a training step with different settings of torch's threads, alone and next to busy processes.

    python benchmarks/training/bench_threads.py [--rows 64] [--iterations 10] [--settings NAME …] [--beside NAME …]

Each number is the median time of an iteration: a batch is drawn from the bundled prior and trained on with the REINVENT
loss, as in a campaign. Each setting is measured in a process of its own, since OpenMP reads its settings only once. Run
the benchmark on an otherwise idle machine, as the first column assumes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from molbuffer.lab import NUMBER_VARIABLES, WAITING_VARIABLES, limit_threads

OURS = "molbuffer"
SETTINGS: dict[str, dict[str, str]] = {
    "torch": {},
    "asleep": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one": {"OMP_NUM_THREADS": "1"},
    OURS: {},
}
"""The environment of each setting; that of molbuffer is set in the process."""
EXPLAINED = {
    "torch": "a thread a core, which spin (torch's default)",
    "asleep": "a thread a core, which sleep at once",
    "one": "one thread",
    OURS: "as the command sets them",
}
BESIDE = {"idle": (1, 0), "busy": (1, 1), "twin": (2, 0), "crowd": (1, 4)}
"""The number of processes that are measured at once, and of processes that only keep a core busy."""


def iterate(rows: int, iterations: int) -> float:
    """Return the median milliseconds of an iteration."""
    import torch

    from molbuffer.samplers import find_policy, load_policy
    from molbuffer.training import Learner, Reinvent, TrainingBatch

    torch.set_flush_denormal(True)
    learner = Learner(load_policy(find_policy("zinc-gru")), Reinvent())
    generator = torch.Generator().manual_seed(0)
    times = []
    for iteration in range(iterations + 1):
        started = time.perf_counter()
        drawn = learner.policy().model.sample(rows, generator=generator)
        columns = {"tokens": drawn.tokens, "lengths": drawn.lengths, "log_probs": drawn.log_probs}
        columns["rewards"] = torch.rand(rows, generator=generator)
        learner.step(TrainingBatch(iteration, columns, origins=["live"] * rows))
        times.append(1000 * (time.perf_counter() - started))
    # The first iteration includes the initialisation of torch.
    return statistics.median(times[1:])


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep a number of cores busy in this context."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def measure(setting: str, beside: str, rows: int, iterations: int) -> float:
    """Return the mean result of the processes that run at once."""
    chosen = {*NUMBER_VARIABLES, *WAITING_VARIABLES}
    environment = {name: value for name, value in os.environ.items() if name not in chosen} | SETTINGS[setting]
    command = [sys.executable, __file__, "--rows", str(rows), "--iterations", str(iterations), "--measure", setting]
    measured, others = BESIDE[beside]
    with busy(others):
        started = [
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(measured)
        ]
        printed = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError(f"a process with the setting {setting!r} failed")
    return statistics.mean(map(float, printed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=64, help="of a batch")
    parser.add_argument("--iterations", type=int, default=10, help="of each measurement")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--beside", nargs="+", choices=BESIDE, default=["idle", "busy", "twin"])
    parser.add_argument("--measure", choices=SETTINGS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure is not None:
        if chosen.measure == OURS:
            limit_threads()
        print(iterate(chosen.rows, chosen.iterations))
        return
    print(f"ms for drawing {chosen.rows} rows and a step on them; 1-minute load {os.getloadavg()[0]:.1f} on ", end="")
    print(f"{os.cpu_count()} cores")
    print(f"{'':<48}" + "".join(f"{name:>10}" for name in chosen.beside))
    for setting in chosen.settings:
        found = [measure(setting, beside, chosen.rows, chosen.iterations) for beside in chosen.beside]
        print(f"{EXPLAINED[setting]:<48}" + "".join(f"{each:>10.0f}" for each in found), flush=True)


if __name__ == "__main__":
    main()
