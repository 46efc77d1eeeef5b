"""A real browser for the tests of pages: Debian's chromium, driven by playwright."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest


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


@contextmanager
def visits() -> Iterator[Callable[..., Visit]]:
    """A function that opens a page; a test is skipped where there is no browser."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield lambda **shape: Visit(browser, **shape)
        browser.close()
