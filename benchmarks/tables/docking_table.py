"""Count the dockings that a campaign needs with and without screening; each run is killed once and resumed.

    pip install 'molbuffer[docking]'
    python benchmarks/tables/docking_table.py FOLDER [--calls 450] [--seeds 1 2 3] [--campaign FILE.toml]
    python benchmarks/tables/docking_table.py FOLDER --table

For each seed the campaign of ``examples/docking`` runs twice, with ``[screening]`` and without, each in a store of its
own in the folder. Each run is killed by SIGKILL when half of its dockings are in its store, and resumed.

The table comes from the stores by SQL: the mean energy of the best ten after all calls, and the number of calls after
which the run reached the final mean of the campaign without screening. A store keeps one good score of a molecule, so
that calls are counted separately: each docking whose score arrives is a line of a file next to the store. Molecules
with two lines count as paid twice, except those whose score was on its way to the store when the run was killed; these
are in flight.

Finished runs are not repeated, so that the benchmark can be stopped and resumed; ``--table`` only prints.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from molbuffer.flows.settings import ConfigurationError, load_settings
from molbuffer.storage import SampleStore

CAMPAIGN = Path(__file__).parents[2] / "examples/docking/campaign.toml"
SCREENING = 'candidates = 64.0; warm_up = 32; model = "gp"; acquisition = "ucb"; explore = 0.0'
PLAIN, SCREENED = "without", "with"
BEST = 10

COUNTED = """
import sys
from molbuffer.flows.cli import main
from molbuffer.scoring.components import Vina

file, stream = sys.argv.pop(1), Vina.stream

def counted(self, molecules):
    for smiles, score in stream(self, molecules):
        with open(file, "a") as lines:
            lines.write(smiles + "\\n")
        yield smiles, score

Vina.stream = counted
main()
"""
"""The command line of molbuffer, changed so that each docking writes a line to a file."""

CALLS = """
    SELECT smiles, min(value) AS energy, min(created) AS since
    FROM scores WHERE component = ? AND status IN ('ok', 'failed') GROUP BY smiles ORDER BY since, smiles"""
"""The query for each docked molecule, in the order of the scores."""
RUNS = "SELECT run_id, arg_max(status, created) AS status FROM run_events WHERE status <> 'given' GROUP BY run_id"


@dataclass(frozen=True)
class Arm:
    """A campaign of one seed, with or without screening."""

    folder: Path
    seed: int
    screened: bool

    @property
    def name(self) -> str:
        return f"seed {self.seed}, {SCREENED if self.screened else PLAIN} a screening"

    @property
    def store(self) -> Path:
        return self.folder / f"seed-{self.seed}-{SCREENED if self.screened else PLAIN}"

    @property
    def killed(self) -> Path:
        """The file with the number of molecules in the store at the kill, followed by the molecules in flight."""
        return self.store.with_suffix(".killed")

    @property
    def calls(self) -> Path:
        """The file with a line for each docking."""
        return self.store.with_suffix(".calls")

    def called(self) -> list[str]:
        """Return the molecule of each docking."""
        return self.calls.read_text().split() if self.calls.exists() else []


def main() -> None:
    """Make the missing runs, and print the table."""
    given = _arguments()
    given.folder.mkdir(parents=True, exist_ok=True)
    campaigns = {False: _campaign(given, screened=False), True: _campaign(given, screened=True)}
    arms = [Arm(given.folder, seed, screened) for seed in given.seeds for screened in campaigns if campaigns[screened]]
    for arm in () if given.table else arms:
        _finish(arm, campaigns[arm.screened], given.calls)
    _print_table([arm for arm in arms if (arm.store / "store.toml").exists()])


def _arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--calls", type=int, default=450, help="the dockings of a run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--campaign", type=Path, default=CAMPAIGN)
    parser.add_argument("--screening", default=SCREENING, help="the keys of [screening], with semicolons between them")
    parser.add_argument("--table", action="store_true", help="only print what is there")
    return parser.parse_args()


def _campaign(given: Any, *, screened: bool) -> Path | None:
    """Write the campaign's file into the folder, and return its path; None if this release has no screening."""
    keys = [key.strip() for key in given.screening.split(";")]
    text = given.campaign.read_text() + ("\n".join(["", "[screening]", *keys, ""]) if screened else "")
    # The paths in the file are relative to its own folder.
    for name in ("receptor", "ligand"):
        text = text.replace(f'{name} = "', f'{name} = "{given.campaign.resolve().parent}/')
    path = given.folder.resolve() / f"{SCREENED if screened else PLAIN}.toml"
    path.write_text(text)
    try:
        load_settings(path)
    except ConfigurationError as error:
        if not (screened and "screening" in str(error)):
            raise
        print("this release knows no [screening]: only the campaign without one runs")
        return None
    return path


def _finish(arm: Arm, campaign: Path | None, calls: int) -> None:
    """Run a campaign to its end: kill it once, unless that has been done, and resume it as often as needed."""
    while (state := _state(arm)) is None or state[1] != "finished":
        command = [sys.executable, "-c", COUNTED, str(arm.calls), "run", str(campaign)]
        command += [
            "--store",
            str(arm.store),
            "--set",
            f"campaign.seed={arm.seed}",
            "--set",
            f"campaign.max_oracle_calls={calls}",
        ]
        command += ["--resume", state[0]] if state else []
        with (arm.folder / f"{arm.store.name}.log").open("ab") as log:
            started = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            _watch(started, arm, calls)
        if started.returncode not in (0, -signal.SIGKILL):
            raise SystemExit(f"{arm.name} ended with exit code {started.returncode}; see {log.name}")


def _watch(process: subprocess.Popen[bytes], arm: Arm, calls: int) -> None:
    while process.poll() is None:
        time.sleep(1.0)
        done = _docked(arm)
        print(f"\r{arm.name}: {done} of {calls} dockings ", end="", flush=True)
        if done >= calls // 2 and not arm.killed.exists() and process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            stored = {smiles for smiles, *_ in _query(arm, CALLS, [_component(arm)])}
            in_flight = [smiles for smiles in arm.called() if smiles not in stored]
            arm.killed.write_text("\n".join([str(len(stored)), *in_flight]))
            print("- killed, and resumed")
    print()


def _state(arm: Arm) -> tuple[str, str] | None:
    rows = _query(arm, RUNS)
    return rows[0] if rows else None


def _docked(arm: Arm) -> int:
    return int(_query(arm, "SELECT count(*) FROM scores WHERE component LIKE 'vina:%'")[0][0]) if _state(arm) else 0


def _query(arm: Arm, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
    if not (arm.store / "store.toml").exists():
        return []
    with SampleStore.open(arm.store, read_only=True) as store:
        return store.query(sql, list(parameters)).rows()


def _print_table(arms: Sequence[Arm]) -> None:
    columns = f"{'calls':>7}{'failed':>8}{'best ten':>10}{'as without after':>18}{'paid twice':>12}"
    print(f"{'':<28}{columns}{'killed at':>11}{'in flight':>11}")
    for arm in arms:
        calls = _query(arm, CALLS, [_component(arm)])
        means = list(_means(energy for _, energy, _ in calls))
        plain = Arm(arm.folder, arm.seed, screened=False)
        target = list(_means(row[1] for row in _query(plain, CALLS, [_component(plain)])))
        # Energies have three digits, and sums of ten of them have rounding errors.
        reached = next((n for n, mean in enumerate(means, 1) if target and mean <= target[-1] + 1e-9), None)
        killed_at, *in_flight = arm.killed.read_text().split() if arm.killed.exists() else ["-"]
        again = Counter(arm.called()) - Counter(in_flight)
        twice = again.total() - len(again)
        failed = sum(energy is None for _, energy, _ in calls)
        best = f"{means[-1]:.3f}" if means else "-"
        found = f"{arm.name:<28}{len(calls):>7}{failed:>8}{best:>10}{reached or 'never':>18}"
        print(f"{found}{twice:>12}{killed_at:>11}{len(in_flight):>11}")


def _component(arm: Arm) -> str:
    found = _query(arm, "SELECT DISTINCT component FROM scores WHERE component LIKE 'vina%'")
    return str(found[0][0]) if found else ""


def _means(energies: Iterable[float | None]) -> Iterator[float]:
    """Yield the mean of the ten lowest energies after each call, infinite before there are ten."""
    best: list[float] = []
    for energy in energies:
        best = sorted([*best, *([] if energy is None else [energy])])[:BEST]
        yield sum(best) / BEST if len(best) == BEST else float("inf")


if __name__ == "__main__":
    main()
