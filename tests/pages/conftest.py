"""What tests of pages share: a small store whose facts can be worked out by hand."""

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
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


class Visit:
    """A page that is open in a browser, with what it said, asked for, and failed to get."""

    def __init__(self, browser, width=1600, scheme="light"):
        self.page = browser.new_page(viewport={"width": width, "height": 1000}, color_scheme=scheme)
        self.page.set_default_timeout(60_000)
        self.said, self.requests, self.failed, self.dialogs = [], [], [], []
        self.page.on("console", lambda message: self.said.append((message.type, message.text)))
        self.page.on("pageerror", lambda error: self.said.append(("error", str(error))))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("response", lambda got: self.failed.append(got.url) if got.status >= 400 else None)
        self.page.on("dialog", lambda dialog: self.dialogs.append(dialog.message) or dialog.dismiss())

    @property
    def errors(self) -> list[str]:
        return [text for kind, text in self.said if kind == "error"]


@pytest.fixture(scope="module")
def open_visit() -> Iterator[Callable[..., Visit]]:
    """A function that opens a page of Debian's chromium, closed with the module.

    Playwright keeps an event loop in this thread while it runs, so a session-wide one would break other tests.
    """
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield lambda **shape: Visit(browser, **shape)
        browser.close()
