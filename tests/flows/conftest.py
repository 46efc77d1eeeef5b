import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.settings import Settings, load_settings

TINY = """
[campaign]
name = "tiny"
seed = 3
iterations = 4
batch_size = 16

[policy]
prior = "zinc-gru"

[objective]
[[objective.components]]
kind = "qed"

[[filters]]
kind = "property"
name = "molecular_weight"
min = 150
max = 550

[buffer]
build_every = 2
runs = "own"

[[samplers]]
kind = "model"
name = "live"
buffer_size = 24
p_batch = 0.5

[training]
checkpoint_every = 2

[offline]
steps = 3
batch_size = 16
"""


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A real Prefect server of its own for the flows of this session."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def molbuffer() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs the command as a process, with what is given by name in its environment."""

    def run(*arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
        program = Path(sys.executable).parent / "molbuffer"
        return subprocess.run(
            [str(program), *map(str, arguments)],
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            timeout=240,
        )

    return run


@pytest.fixture
def tiny_config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture
def tiny_settings(tiny_config: Path) -> Settings:
    return load_settings(tiny_config)
