"""The example of the kinds of other packages is TOML in each line, once it is no comment."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from molbuffer.flows.cli import app
from molbuffer.flows.cli.configurations.config import example_text
from molbuffer.flows.cli.configurations.kinds import families
from molbuffer.flows.tools.example_kinds import example_of_kinds
from molbuffer.kinds import family

MODULE = """
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

from molbuffer.samplers import Sampler, SamplerSize

@dataclass(frozen=True)
class Around(Sampler):
    '''Draws what another one draws.'''
    name: str
    base_sampler: Sampler
    _: KW_ONLY
    times: int
    share: float | None
    texts: tuple[str, ...]
    plain: bool
    title: str
    size: SamplerSize = SamplerSize()
    other: int | None = None
    kind = "around"

    def draw(self, n, seed):
        return self.base_sampler.draw(n, seed)
"""
METADATA = {
    "METADATA": "Metadata-Version: 2.1\nName: around\nVersion: 1.2\n",
    "entry_points.txt": """
[molbuffer.samplers]
around = module_of_around:Around
[molbuffer.sampler]
stray = module_of_around:Around
""",
}


@pytest.fixture
def _other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with a sampler, and one in a group that is none."""
    (tmp_path / "around-1.2.dist-info").mkdir()
    for name, text in METADATA.items():
        (tmp_path / "around-1.2.dist-info" / name).write_text(text)
    (tmp_path / "module_of_around.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    caches = (family._entry_points, family._registered)
    for cache in caches:
        cache.cache_clear()
    yield
    sys.modules.pop("module_of_around", None)
    for cache in caches:
        cache.cache_clear()


def uncommented(text: str) -> list[str]:
    return [line[1:] for line in text.splitlines() if re.match(r"#[\[a-z]", line)]


def test_each_commented_key_of_our_own_kinds_is_toml() -> None:
    lines = uncommented(example_text())
    assert len(lines) > 100
    for line in lines:
        assert tomllib.loads(line), line


@pytest.mark.usefixtures("_other_package")
def test_each_commented_key_of_another_package_is_toml() -> None:
    lines = uncommented(example_of_kinds(families()))
    [table] = tomllib.loads("\n".join(lines))["samplers"]
    assert table == {
        "kind": "around",
        "name": "mine",
        "base_sampler": {"kind": "..."},
        "times": 1,
        "share": 1.0,
        "texts": [],
        "plain": True,
        "title": "...",
        "other": 1,
    }


@pytest.mark.usefixtures("_other_package")
def test_a_kind_of_a_family_that_there_is_not_is_listed_with_the_reason() -> None:
    found = CliRunner().invoke(app, ["kinds"]).stdout
    [row] = [line for line in found.splitlines() if "stray" in line]
    assert "sampler" in row and "around 1.2" in row and "did you mean `samplers`?" in row
