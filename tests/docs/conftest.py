"""What the tests of the documentation share: the tools that build it, and the command in this process."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
# The tools import one another by their names, as they do when they are run as a script.
sys.path.insert(0, str(ROOT / "docs" / "_site"))


def _fixtures_of(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("fixtures_of_flows", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_flows = _fixtures_of(ROOT / "tests" / "flows" / "conftest.py")
molbuffer, with_server, small_prior = _flows.molbuffer, _flows.with_server, _flows.small_prior
built_command = _flows.built_command
