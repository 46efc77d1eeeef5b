"""What tests of pages share: a small store whose facts can be worked out by hand."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from molbuffer.pages import Scope, scope_of
from molbuffer.storage import SampleStore


@pytest.fixture(scope="session")
def small() -> ModuleType:
    """The names of small_store.py."""
    spec = importlib.util.spec_from_file_location("small_store", Path(__file__).with_name("small_store.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def small_store(small: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of the small store, which is read only."""
    return small.make_small(tmp_path_factory.mktemp("small") / "store")


@pytest.fixture(scope="session")
def opened(small_store: Path) -> Iterator[SampleStore]:
    """The small store, open for reading."""
    with SampleStore.open(small_store, read_only=True) as store:
        yield store


@pytest.fixture(scope="session")
def every_run(opened: SampleStore) -> Scope:
    """All runs of the small store."""
    return scope_of(opened)


@pytest.fixture(scope="session")
def first_run(opened: SampleStore, small: ModuleType) -> Scope:
    """The first run of the small store."""
    return scope_of(opened, [small.FIRST])
