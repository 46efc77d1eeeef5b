"""What is wrong in the table of a class of the user is answered with what the class takes."""

from pathlib import Path

import pytest

from molbuffer.flows.settings.problems import ConfigurationError
from molbuffer.flows.settings.settings import load_settings

MODULE = """
from dataclasses import dataclass
from typing import Literal

from molbuffer.samplers import Sampler, SamplerSize

@dataclass(frozen=True)
class Alert:
    '''An alert.

    Attributes:
        strength: how strong it is.
    '''
    strength: int
    how: Literal["soft", "hard"] = "soft"
    label: str = "alert"

    @property
    def name(self):
        return self.label

    def accepts(self, molecule):
        return True

@dataclass(frozen=True)
class Around(Sampler):
    name: str
    base_sampler: Sampler
    size: SamplerSize = SamplerSize()
    kind = "around"

    def draw(self, n, seed):
        return self.base_sampler.draw(n, seed)
"""
CONFIG = """
objective = {{ components = [{{ kind = "qed" }}] }}
filters = [{{ kind = "python", object = "classes_with_keys:Alert", {filter} }}]
[[samplers]]
kind = "python"
object = "classes_with_keys:Around"
name = "around"
p_batch = 1.0
base_sampler = {{ {inner} }}
"""
INNER = 'kind = "model"'


@pytest.mark.parametrize(
    ("filter_", "inner", "expected"),
    [
        (
            "strength = 1, strenght = 1",
            INNER,
            "key `filters[0].strenght`: this key is not known; did you mean `strength`? Known here: kind, object, "
            "folder, strength, how, label.",
        ),
        ("how = 'hard'", INNER, "key `filters[0].strength`: this key is missing. How strong it is."),
        ("strength = 'x'", INNER, 'key `filters[0].strength`: got "x", expected a whole number'),
        ("strength = 1, how = 'harsh'", INNER, 'got "harsh", expected one of: soft, hard'),
        ("strength = 1", 'kind = "modle"', "did you mean `model`?"),
        ("strength = 1", "policy = 'prior'", "the key `kind` is missing, expected one of: contrastive, dataset"),
        (
            "strength = 1",
            f"{INNER}, temprature = 2.0",
            "did you mean `temperature`? Known here: kind, temperature, top_k, top_p, policy.",
        ),
    ],
)
def test_a_wrong_key_is_answered_with_the_keys_of_the_class(
    tmp_path: Path, filter_: str, inner: str, expected: str
) -> None:
    (tmp_path / "classes_with_keys.py").write_text(MODULE)
    (tmp_path / "c.toml").write_text(CONFIG.format(filter=filter_, inner=inner))
    with pytest.raises(ConfigurationError) as raised:
        load_settings(tmp_path / "c.toml")
    assert expected in str(raised.value)
