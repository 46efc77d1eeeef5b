"""Every configuration that comes with the project passes its own check without a warning."""

from pathlib import Path

import pytest

from molbuffer.flows.settings.settings import load_settings, warnings_of

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = [*sorted((ROOT / "examples").glob("*.toml")), ROOT / "flows" / "settings" / "example.toml"]


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_an_example_has_neither_problems_nor_warnings(file: Path) -> None:
    assert warnings_of(load_settings(file)) == []


def test_the_example_of_docking_has_neither_problems_nor_warnings() -> None:
    pytest.importorskip("vina", reason="pip install 'molbuffer[docking]'")
    assert warnings_of(load_settings(ROOT / "examples" / "docking" / "campaign.toml")) == []
