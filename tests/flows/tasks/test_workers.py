"""Builds by several workers: the same rows for any number, nothing paid twice, and a killed worker costs its part."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from molbuffer.flows.errors import UsageError, WorkersError
from molbuffer.flows.settings import Settings
from molbuffer.flows.settings.settings import load_settings
from molbuffer.flows.tasks.build_request import ScoreRequest
from molbuffer.flows.tasks.chunks import made_here
from molbuffer.flows.tasks.parts import score_part
from molbuffer.flows.tasks.processes import WorkerProcesses
from molbuffer.flows.tasks.runner_workers import opened_workers
from molbuffer.flows.tasks.workers import molecules_of_a_part
from molbuffer.flows.work.building import run_build
from molbuffer.flows.work.online import run_online
from molbuffer.storage import SampleStore

RUN_ID = "a" * 32

SCORER = """
import os, signal, time
from pathlib import Path

def dock(smiles, seconds=0.0):
    folder = Path(os.environ["FOLDER_OF_SHOP"])
    with open(folder / "calls.log", "a") as log:
        log.write(f"{os.getpid()} {smiles}" + chr(10))
    calls = len((folder / "calls.log").read_text().splitlines())
    # Once, in the middle of the work.
    if calls > 5 and (folder / "kill").exists():
        (folder / "kill").rename(folder / "killed")
        os.kill(os.getpid(), signal.SIGKILL)
    # The run as well, once a score is handed over.
    if calls > 5 and (folder / "kill-all").exists():
        while not list((folder / "store" / "handed-over").glob("*.json")):
            time.sleep(0.01)
        (folder / "kill-all").rename(folder / "killed")
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(seconds)
    return min(len(smiles) / 100, 1.0)
"""

CAMPAIGN = """
[campaign]
name = "shared"
seed = 3

[policy]
prior = "{prior}"

[objective]
components = [{components}]

[buffer]
chunk_rows = 8

# The colder a policy, the more often it draws the same molecule, in other chunks too.
[[samplers]]
kind = "model"
name = "cold"
temperature = 0.15
buffer_size = 16

[[samplers]]
kind = "model"
name = "agent"
buffer_size = 12
p_batch = 0.5
"""

FACTS = {
    "samples": """SELECT b.sampler, b.chunk, s."row", s.smiles, s.raw, s.rejected_by, s.kept, b.seed, b.policy_sha256
        FROM {samples} AS s JOIN {builds} AS b USING (build_id)""",
    "rewards": """SELECT b.sampler, b.chunk, r."row", r.value, r.status, r.objective_sha256
        FROM {rewards} AS r JOIN {builds} AS b USING (build_id)""",
    "metrics": """SELECT b.sampler, b.chunk, m.name, m.value
        FROM {metrics} AS m JOIN {builds} AS b USING (build_id) WHERE m.name <> 'seconds'""",
    "scores": "SELECT smiles, component, version, value, status, error FROM {scores}",
}


@dataclass(frozen=True)
class Shop:
    """A folder with a campaign, the function that scores its molecules, and the log of its calls."""

    folder: Path
    prior: Path

    def dock(self, **keys: Any) -> str:
        given = {"kind": "python", "function": "shared_scorer:dock", "in_process": True, **keys}
        return "{" + ", ".join(f"{name} = {_toml(value)}" for name, value in given.items()) + "}"

    def settings(self, components: str, **runner: Any) -> Settings:
        text = CAMPAIGN.format(prior=self.prior, components=components)
        text += "\n[runner]\n" + "".join(f"{name} = {_toml(value)}\n" for name, value in runner.items())
        (self.folder / "campaign.toml").write_text(text)
        return load_settings(self.folder / "campaign.toml")

    def build(self, store: str, components: str, **runner: Any) -> dict[str, Any]:
        settings = self.settings(components, **runner)
        return run_build(settings.to_json(), str(self.folder / store), made_here, run_id=RUN_ID)

    def facts(self, store: str) -> dict[str, list[str]]:
        """What a store has, but for ids, times and durations."""
        with SampleStore.open(self.folder / store, read_only=True) as opened:
            found = {name: opened.read_arrow(sql).to_pylist() for name, sql in FACTS.items()}
            left = len(list((self.folder / store / "arrays").iterdir()))
            assert left == len(opened.read_arrow("SELECT DISTINCT segment FROM {builds}")), "a staged build is left"
        return {name: sorted(json.dumps(row) for row in rows) for name, rows in found.items()}

    def log_probs(self, store: str) -> list[bytes]:
        with SampleStore.open(self.folder / store, read_only=True) as opened:
            ids = [receipt.build_id for receipt in opened.receipts(RUN_ID)]
            return [opened.build(each).build.samples.rows.log_probs.tobytes() for each in ids]

    def calls(self) -> list[str]:
        return [line.split()[1] for line in (self.folder / "calls.log").read_text().splitlines()]

    def processes(self) -> set[str]:
        return {line.split()[0] for line in (self.folder / "calls.log").read_text().splitlines()}


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + "}"
    return json.dumps(value)


QED = '{kind = "qed"}'


def opened(folder: Path, prior: Path, patch: pytest.MonkeyPatch) -> Shop:
    """A shop whose function finds it, also in other processes: the same function for all shops."""
    (folder / "shared_scorer.py").write_text(SCORER)
    patch.setenv("FOLDER_OF_SHOP", str(folder))
    return Shop(folder, prior)


@pytest.fixture
def shop(tmp_path: Path, small_prior: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    return opened(tmp_path, small_prior, monkeypatch)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, small_prior: Path) -> Shop:
    """A shop with a store that one process has built, chunk after chunk."""
    made = Shop(tmp_path_factory.mktemp("alone"), small_prior)
    made.build("store", QED)
    return made


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, small_prior: Path) -> dict[str, list[str]]:
    """The facts of a store that one process has built with scores of the function, whatever they cost."""
    with pytest.MonkeyPatch.context() as patch:
        made = opened(tmp_path_factory.mktemp("undisturbed"), small_prior, patch)
        made.build("store", made.dock())
    return made.facts("store")


def test_a_build_has_molecules_that_several_chunks_draw(alone: Shop) -> None:
    """So that the metric ``new``, and which chunk stores a score first, depend on the order of the chunks."""
    new = [json.loads(row) for row in alone.facts("store")["metrics"] if '"new"' in row]
    assert len(new) == 4 and any(each["value"] < 1 for each in new if each["chunk"] > 0)


@pytest.mark.parametrize(("kind", "workers"), [("processes", 2), ("threads", 8)])
def test_the_rows_are_the_same_for_any_number_of_workers(alone: Shop, shop: Shop, kind: str, workers: int) -> None:
    shop.build("store", QED, kind=kind, workers=workers)
    assert shop.facts("store") == alone.facts("store")
    assert shop.log_probs("store") == alone.log_probs("store")


def test_a_worker_that_is_killed_in_a_chunk_costs_that_chunk_alone(
    shop: Shop, undisturbed: dict[str, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    (shop.folder / "kill").touch()
    shop.build("store", shop.dock(), kind="processes", workers=2)
    assert (shop.folder / "killed").exists()
    assert shop.facts("store") == undisturbed
    (told,) = [each for each in caplog.messages if "SIGKILL" in each]
    assert "another one makes make_part_apart of chunk (0, " in told


def test_scores_that_cost_are_shared_and_each_is_paid_once_through_a_kill(
    shop: Shop, undisturbed: dict[str, list[str]]
) -> None:
    (shop.folder / "kill").touch()
    shop.build("store", shop.dock(cost="high"), kind="processes", workers=2)
    assert shop.facts("store") == undisturbed
    assert len(shop.processes()) == 3, "two workers, and one that followed the dead one"
    again = {smiles: n for smiles, n in Counter(shop.calls()).items() if n > 1}
    # What was in flight, or had been computed less than a quarter of a second before.
    assert sum(again.values()) - len(again) <= 5
    assert len(shop.calls()) <= len(set(shop.calls())) + 5


RUN_THAT_DOES_NOT_COMMIT = """
import sys
import molbuffer.flows.tasks.workers as workers
from molbuffer.flows.tasks.chunks import made_here
from molbuffer.flows.work.building import run_build

workers.COMMIT_SECONDS = 600
run_build(sys.stdin.read(), sys.argv[1], made_here, run_id=sys.argv[2])
"""


def test_scores_that_were_handed_over_outlive_the_worker_and_the_run(
    shop: Shop, undisturbed: dict[str, list[str]]
) -> None:
    """Both are killed before anybody has committed them; the run that is gone on with pays for none of them again."""
    dock = shop.dock(cost="high")
    (shop.folder / "kill-all").touch()
    killed = subprocess.run(
        [sys.executable, "-c", RUN_THAT_DOES_NOT_COMMIT, str(shop.folder / "store"), RUN_ID],
        input=shop.settings(dock, kind="processes", workers=2).to_json().encode(),
        timeout=600,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    files = list((shop.folder / "store" / "handed-over").glob("*.json"))
    handed_over = {score["smiles"] for file in files for score in json.loads(file.read_text())["scores"]}
    with SampleStore.open(shop.folder / "store", read_only=True) as store:
        assert store.read_arrow("SELECT * FROM {scores}").num_rows == 0
    shop.build("store", dock)
    assert handed_over
    assert {shop.calls().count(smiles) for smiles in handed_over} == {1}
    assert shop.facts("store") == undisturbed


def test_two_parts_at_once_do_not_pay_for_the_same_molecule(shop: Shop) -> None:
    dock = shop.dock(cost="high", parameters={"seconds": 0.1})
    settings = shop.settings(dock)
    shop.build("store", dock)
    (shop.folder / "calls.log").unlink()
    name = settings.objective.components[0].build().name
    molecules = tuple("C" * n for n in range(30, 36))
    request = ScoreRequest(str(shop.folder / "store"), RUN_ID, (name,), molecules)
    threads = [Thread(target=score_part, args=[request]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(shop.calls()) == sorted(molecules)


@pytest.mark.parametrize(
    "table",
    ["[campaign]\nmax_oracle_calls = 20", '[[samplers]]\nunique = "run"'],
    ids=["a budget", "unique in the run"],
)
def test_chunks_that_need_those_before_them_are_made_in_turn(shop: Shop, table: str) -> None:
    head, line = table.split("\n")
    stores = []
    for workers in (1, 3):
        settings = shop.settings(QED, kind="threads", workers=workers)
        path = shop.folder / "campaign.toml"
        path.write_text(path.read_text().replace(head, f"{head}\n{line}", 1))
        settings = load_settings(path)
        stores.append(f"store-{workers}")
        run_build(settings.to_json(), str(shop.folder / stores[-1]), made_here, run_id=RUN_ID)
    assert shop.facts(stores[0]) == shop.facts(stores[1])


def test_a_training_has_its_live_molecules_scored_by_the_workers(shop: Shop) -> None:
    from molbuffer.flows.tasks.chunks import local_builder

    settings = shop.settings(shop.dock(cost="high"), kind="processes", workers=2)
    short = settings.model_copy(
        update={"campaign": settings.campaign.model_copy(update={"iterations": 2, "batch_size": 8})}
    )
    run_online(short.to_json(), str(shop.folder / "store"), local_builder, run_id=RUN_ID)
    assert str(os.getpid()) not in shop.processes()
    assert len(shop.calls()) == len(set(shop.calls()))
    with SampleStore.open(shop.folder / "store", read_only=True) as store:
        live = [each for each in store.receipts(RUN_ID) if each.event == "sample_batch"]
        assert sum(each.kept for each in live) == 8


def suicide(flag: str) -> str:
    if os.path.exists(flag):
        os.remove(flag)
        os.kill(os.getpid(), signal.SIGKILL)
    return f"{os.getpid()}"


def death() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def processes_of(number: int) -> Iterator[WorkerProcesses]:
    made = WorkerProcesses(number)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Any], Any]:
    """Returns a function of this file as one of a module that worker processes can import."""
    import importlib
    import inspect

    def make(function: Any) -> Any:
        (tmp_path / "work_of_test.py").write_text(f"import os, signal\n\n{inspect.getsource(function)}")
        monkeypatch.syspath_prepend(tmp_path)
        return getattr(importlib.reload(importlib.import_module("work_of_test")), function.__name__)

    return make


def test_a_process_is_used_again_and_a_dead_one_is_replaced(importable: Callable[[Any], Any], tmp_path: Path) -> None:
    work = importable(suicide)
    with processes_of(1) as processes:
        first = processes.call(work, str(tmp_path / "flag"))
        assert processes.call(work, str(tmp_path / "flag")) == first
        (tmp_path / "flag").touch()
        assert processes.call(work, str(tmp_path / "flag")) != first


def test_a_part_that_ends_every_process_is_given_up(importable: Callable[[Any], Any]) -> None:
    work = importable(death)
    with processes_of(1) as processes, pytest.raises(WorkersError, match=r"3 worker processes died .* SIGKILL"):
        processes.call(work)


def test_a_cluster_needs_prefect(shop: Shop) -> None:
    settings = replace_runner(shop.settings(QED), kind="dask")
    with pytest.raises(UsageError, match="leave --no-prefect out"), opened_workers(settings.runner):
        pass


def replace_runner(settings: Settings, **keys: Any) -> Settings:
    data = json.loads(settings.to_json())
    data["runner"] |= keys
    return Settings.from_json(json.dumps(data))


def test_one_thread_makes_all_parts_itself(shop: Shop) -> None:
    with opened_workers(shop.settings(QED).runner) as workers:
        assert workers is None


@pytest.mark.parametrize(
    ("molecules", "workers", "together", "expected"),
    [
        (64, 2, 1, 8),  # four parts for each worker
        (3, 16, 1, 1),
        (64, 2, 512, 32),  # of a function of batches, a part is a call
        (100_000, 2, 1, 256),
    ],
)
def test_molecules_are_divided_evenly(molecules: int, workers: int, together: int, expected: int) -> None:
    assert molecules_of_a_part(molecules, workers, together) == expected


def test_a_request_for_scores_is_small_and_can_be_sent() -> None:
    import pickle

    request = ScoreRequest("store", RUN_ID, ("dock",), ("C",) * 256)
    assert pickle.loads(pickle.dumps(request)) == replace(request)
    assert len(pickle.dumps(request)) < 10_000
