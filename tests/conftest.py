"""What tests of several rooms share: real molecules, a vocabulary of them, and an empty store."""

import gc
import importlib
import importlib.util
import os
import shutil
import signal
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest

# A thread for each process, here and in those that tests start: there is a process for each core, and threads of torch
# would wait for each other. It counts only before torch is imported.
if not os.environ.keys() & {"OMP_NUM_THREADS", "MKL_NUM_THREADS"}:
    os.environ["OMP_NUM_THREADS"] = "1"
# Servers that tests start report to nobody.
os.environ |= {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}

from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.storage import SampleStore

# Processes that tests start compile what they import once, and not each for itself, as images of containers have it.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# The folders of tests are in memory where there is much of it: a commit waits for the disk as long as it works.
_MEMORY = Path("/dev/shm")
_ENOUGH_BYTES = 4 * 2**30
if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ENOUGH_BYTES:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))

ThroughKills = Callable[..., Any]
WriteScorer = Callable[[str], str]
OpenCopy = Callable[[Path], SampleStore]

LONGEST = (
    "test_nights.py",
    "test_installed.py",
    "test_newcomer.py",
    "test_plugin.py",
    "test_interruptions.py",
    "test_agents.py",
    "test_killed_run.py",
    "test_snippets.py",
    "test_benchmarks_run.py",
)
"""Files of cases that take 10 s of a core or more, the longest first."""

MOLECULES = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "CC(=O)Nc1ccc(O)cc1",
    "CC(C)Cc1ccc(C(C)C(=O)O)cc1",
    "CN1C(=O)N(C)c2ncn(C)c2C1=O",
    "COc1ccc2cc(C(C)C(=O)O)ccc2c1",
    "O=C(O)Cc1ccccc1Nc1c(Cl)cccc1Cl",
    "CN1CCC[C@H]1c1cccnc1",
    "Clc1ccccc1CN1CCc2sccc2C1",
    "CCOC(=O)c1ccc(N)cc1",
    "CCN(CC)CC(=O)Nc1c(C)cccc1C",
    "NC(=O)N1c2ccccc2C=Cc2ccccc21",
    "CN(C)CCCN1c2ccccc2CCc2ccccc21",
    "O=C1CN=C(c2ccccc2)c2cc(Cl)ccc2N1",
    "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1",
    "CCCCc1nc2ccccc2n1Cc1ccccc1",
    "COc1cc(/C=C/C(=O)O)ccc1O",
    "C[C@@H](N)C(=O)O",
    "C[N+](C)(C)CCO",
    "O=[N+]([O-])c1ccc(Br)cc1",
    "Brc1ccc2[nH]ccc2c1",
    "c1ccc2c(c1)[nH]c1ccccc12",
    "O=C(c1ccccc1)N1CCN(c2ccccn2)CC1",
    "CC1(C)SC2C(NC(=O)Cc3ccccc3)C(=O)N2C1C(=O)O",
    "CS(=O)(=O)c1ccc(C2=C(c3ccccc3)C(=O)OC2)cc1",
    "FC(F)(F)c1cccc(N2CCNCC2)c1",
    "CC#CCOc1ccc(C(=O)NO)cc1",
    "N#Cc1ccc(Oc2ccccc2)cc1",
    "OCC1CCCN1c1ncccn1",
    "CC(C)NCC(O)COc1cccc2ccccc12",
    "CCOc1ccc(CC(=O)Nc2ccccc2)cc1",
    "O=c1[nH]cnc2[nH]cnc12",
    "Nc1ncnc2c1ncn2C1CCCC1",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cpu", action="store_true", help="show which files and cases take how much CPU")


def pytest_configure(config: pytest.Config) -> None:
    # What a script starts in the background ignores Ctrl-C, and so would all processes of the tests.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--cpu"):
        config.pluginmanager.register(module_beside("cpu_costs").CpuCosts())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Half as many processes again as there are cores: of its time, a case waits a good part for processes that it has
    started, for servers and for what is to happen after a while.
    """
    cores = len(os.sched_getaffinity(0))
    return cores + cores // 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the files of the longest cases, so that workers do not wait for the last of these at the end."""
    place = {name: at for at, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONGEST)))


def pytest_collection_finish() -> None:
    """Keeps the garbage collector from going over thousands of collected cases, and over torch, again and again."""
    gc.collect()
    gc.freeze()
    # Seldom enough that it is not 4 % of the time.
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A decoded cache of this session: that of the user has thousands of stores, and tests would leave theirs in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOLBUFFER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def molecules() -> list[str]:
    """Drug-like SMILES with stereo, charges, bracket atoms, halogens and triple bonds."""
    return list(MOLECULES)


@pytest.fixture(scope="session")
def vocabulary(molecules: list[str]) -> Vocabulary:
    return Vocabulary.from_smiles(molecules)


def module_beside(name: str) -> ModuleType:
    """Import a module of this folder."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def services() -> ModuleType:
    """The servers of services.py."""
    return module_beside("services")


@pytest.fixture(scope="session")
def namespaces() -> ModuleType:
    """The hosts of namespaces.py."""
    return module_beside("namespaces")


@pytest.fixture(scope="module")
def open_visit() -> Iterator[Callable[..., Any]]:
    """A function that opens a page of the browser of browser.py, which is closed with the module.

    Playwright keeps an event loop in this thread while it runs, so a session-wide one would break other tests.
    """
    with module_beside("browser").visits() as open_page:
        yield open_page


@pytest.fixture(scope="session")
def fake_device() -> ModuleType:
    """The device of fake_device.py."""
    return module_beside("fake_device")


@pytest.fixture(scope="session")
def huggingface() -> ModuleType:
    """The models of huggingface.py."""
    return module_beside("huggingface")


@pytest.fixture(scope="session")
def postgres_server(services: ModuleType) -> Iterator[str]:
    """The address of a Postgres server, which has the database ``postgres``."""
    with services.postgres() as address:
        yield address


@pytest.fixture(scope="session")
def s3_server(services: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with the S3 protocol, which has the bucket ``lab``."""
    with services.s3(tmp_path_factory.mktemp("s3") / "server") as address:
        yield address


@pytest.fixture(scope="session")
def prefect_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the Prefect server of this session, and of all workers of one that has several."""
    folder = tmp_path_factory.getbasetemp()
    return (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "prefect"


@pytest.fixture(scope="session")
def prefect_server(services: ModuleType, prefect_folder: Path) -> Iterator[None]:
    """A real Prefect server for the flows of this session, and of all workers of one that has several."""
    from prefect.context import _temporary_global_settings_context, get_settings_context
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import PREFECT_API_URL, temporary_settings

    address = services.prefect(prefect_folder)
    # Threads have no context of their own; Prefect's own prefect_test_harness does the same.
    with temporary_settings({PREFECT_API_URL: address}), _temporary_global_settings_context(get_settings_context()):
        yield
        APILogWorker.drain_all()
        EventsWorker.drain_all()


@pytest.fixture
def s3_environment(services: ModuleType, s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment variables that lead to the S3 server; gives the address of a new prefix in its bucket."""
    for name, value in (services.S3_ENVIRONMENT | {"AWS_ENDPOINT_URL": s3_server}).items():
        monkeypatch.setenv(name, value)
    return f"s3://lab/{uuid4().hex}"


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store to copy, as stores may be while nothing has them open: to make one takes several times as long."""
    path = tmp_path_factory.mktemp("empty") / "store"
    with SampleStore.create(path):
        return path


@pytest.fixture
def open_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenCopy]:
    """Opens a copy of a closed store as ``store`` in the folder of the test, with a decoded cache of its own."""
    monkeypatch.setenv("MOLBUFFER_CACHE", str(tmp_path / "cache"))
    with ExitStack() as opened:
        yield lambda path: opened.enter_context(SampleStore.open(shutil.copytree(path, tmp_path / "store")))


@pytest.fixture
def store(open_copy: OpenCopy, empty_store: Path) -> SampleStore:
    """An empty store with a decoded cache of its own."""
    return open_copy(empty_store)


@pytest.fixture
def through_kills(monkeypatch: pytest.MonkeyPatch) -> ThroughKills:
    """Calls a function that is ended after some commits, counted over all calls, and called again each time; returns
    what it returns in the end.
    """

    def called(
        work: Callable[[], Any],
        *,
        at: Collection[int],
        kill: type[BaseException] = KeyboardInterrupt,
        ends: tuple[type[BaseException], ...] = (BaseException,),
    ) -> Any:
        commits, commit = 0, SampleStore.commit

        def killed(self: SampleStore, parts: Any) -> Any:
            nonlocal commits
            receipt = commit(self, parts)
            commits += 1
            if commits in at:
                raise kill
            return receipt

        monkeypatch.setattr(SampleStore, "commit", killed)
        for _ in at:
            with pytest.raises(ends):
                work()
        return work()

    return called


@pytest.fixture
def write_scorer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WriteScorer:
    """Writes a module with a scoring function, and returns the module's name; each is imported afresh."""
    folder = tmp_path / "scorers"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)

    def write(source: str) -> str:
        name = f"scorer_{uuid4().hex}"
        (folder / f"{name}.py").write_text(source)
        importlib.invalidate_caches()
        return name

    return write
