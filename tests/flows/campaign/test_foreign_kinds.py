"""Classes in files of the user, in a run: their sources are part of its record, and stay the same while it goes on."""

import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from molbuffer.flows.campaign.campaign import campaign_run, reopen_campaign
from molbuffer.flows.campaign.pretrain_request import PretrainRequest
from molbuffer.flows.campaign.pretraining import check_request, prepare_pretraining
from molbuffer.flows.campaign.resuming import check_resumed
from molbuffer.flows.settings.foreign_kinds import foreign_sources
from molbuffer.flows.settings.problems import ConfigurationError
from molbuffer.flows.settings.settings import Settings, load_settings
from molbuffer.kinds.python_object import registered_object
from molbuffer.kinds.python_source import read_source
from molbuffer.samplers.models.registry import MODELS
from molbuffer.samplers.policies.policy import policy_files
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.scoring.components.foreign_component import ForeignComponent
from molbuffer.storage import RunConflictError, RunKind, SampleStore

MODULE = """
from dataclasses import dataclass
from molbuffer.samplers.models import LSTMLanguageModel
from molbuffer.samplers.models.lstm import LSTMArchitecture

class OwnModel(LSTMLanguageModel):
    kind = "own"
    Sizes = LSTMArchitecture

@dataclass(frozen=True)
class Length:
    name: str = "length"
    version = "1"

    def values(self, molecules):
        return [1 / len(smiles) for smiles in molecules]
"""
CONFIG = """
[policy]
prior = "./policy"
models = ["own_kinds:OwnModel"]
[objective]
components = [{ kind = "python", object = "own_kinds:Length" }]
[[samplers]]
kind = "model"
name = "live"
buffer_size = 4
"""


@pytest.fixture(autouse=True)
def _own_kinds_of_each_test() -> Iterator[None]:
    """What a test adds to the kinds of the process is there for no other."""
    yield
    MODELS._added.clear()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "own_kinds.py").write_text(MODULE)
    (tmp_path / "campaign.toml").write_text(CONFIG)
    return tmp_path / "campaign.toml"


@pytest.fixture
def settings(config: Path, small_prior: Path) -> Settings:
    shutil.copytree(small_prior, config.parent / "policy")
    settings = load_settings(config)
    cls = registered_object(MODELS, "own_kinds:OwnModel", str(config.parent)).build
    vocabulary = Vocabulary((*RESERVED, "C", "N", "O"))
    model = cls(cls.Sizes(len(vocabulary), hidden_size=8, embedding_size=4, max_length=6))
    for name, content in policy_files(model, vocabulary).items():
        (config.parent / "policy" / name).write_bytes(content)
    return settings


def test_a_run_records_the_sources_of_its_kinds_and_is_resumed_with_no_others(
    settings: Settings, config: Path, store: SampleStore
) -> None:
    with campaign_run(settings, store, RunKind.TRAIN, "a" * 32) as campaign:
        assert campaign.prior.kind == "own"
        sha256 = read_source("own_kinds", str(config.parent)).sha256
    recorded = store.run("a" * 32).libraries
    assert {name: value for name, value in recorded.items() if value == sha256}.keys() == {
        "components own_kinds:Length",
        "models own_kinds:OwnModel",
    }
    # Another process has none of the kinds of this one.
    MODELS._added.clear()
    assert reopen_campaign(store, "a" * 32).prior.kind == "own"
    with campaign_run(settings, store, RunKind.TRAIN, "a" * 32):
        pass
    shutil.move(config.parent / "own_kinds.py", config.parent / "gone.py")
    (config.parent / "own_kinds.py").write_text(MODULE + "# changed\n")
    read_source.cache_clear()
    with pytest.raises(RunConflictError, match="own_kinds:"), campaign_run(settings, store, RunKind.TRAIN, "a" * 32):
        pass
    # It is found before the run is tried, too.
    with pytest.raises(RunConflictError, match="own_kinds:"):
        check_resumed(store, "a" * 32, RunKind.TRAIN, settings)


def test_a_class_of_models_in_the_working_folder_is_pretrained(
    config: Path, store: SampleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(config.parent)
    (config.parent / "chains.smi").write_text("".join("".join(each) + "\n" for each in product("CNO", repeat=4)))
    sizes = {"hidden_size": 8, "embedding_size": 4}
    request = PretrainRequest("chains.smi", str(store.path), model="own_kinds:OwnModel", sizes=sizes)
    data = check_request(request)
    pretraining = prepare_pretraining(request, store, "b" * 32, data)
    assert pretraining.model.kind == "own"
    sha256 = read_source("own_kinds", str(config.parent)).sha256
    assert pretraining.run.libraries["models own_kinds:OwnModel"] == sha256


def test_the_version_of_a_component_changes_with_the_source_of_its_class(settings: Settings, config: Path) -> None:
    (component,) = settings.objective.build().components
    assert isinstance(component.component, ForeignComponent)
    assert [score.value for score in component.component.values(["CC", "C"])] == [0.5, 1.0]
    (config.parent / "own_kinds.py").write_text(MODULE + "# changed\n")
    read_source.cache_clear()
    (later,) = settings.objective.build().components
    assert later.component.version != component.component.version
    read_source.cache_clear()


def test_a_module_of_models_that_is_not_there_is_named(config: Path) -> None:
    config.write_text(CONFIG.replace("own_kinds:OwnModel", "absent_models:OwnModel"))
    with pytest.raises(ConfigurationError) as caught:
        load_settings(config)
    problems = {problem.key: problem.message for problem in caught.value.problems}
    assert "absent_models" in problems["policy.models[0]"]


OUTER = """
from dataclasses import dataclass
from typing import ClassVar
from molbuffer.samplers import Sampler, SamplerSize

@dataclass(frozen=True)
class Outer(Sampler):
    name: str
    base_sampler: Sampler
    size: SamplerSize = SamplerSize()
    kind: ClassVar[str] = "outer"

    def draw(self, n, seed):
        return self.base_sampler.draw(n, seed)
"""


def test_the_source_of_a_class_inside_another_is_recorded_too(tmp_path: Path) -> None:
    for module in ("outer_sampler", "inner_sampler"):
        (tmp_path / f"{module}.py").write_text(OUTER)
    inner = '{ kind = "python", object = "inner_sampler:Outer", base_sampler = { kind = "model" } }'
    (tmp_path / "campaign.toml").write_text(
        '[objective]\ncomponents = [{ kind = "qed" }]\n[[samplers]]\nkind = "python"\nname = "outer"\np_batch = 1.0\n'
        f'object = "outer_sampler:Outer"\nbase_sampler = {inner}\n'
    )
    sources = foreign_sources(load_settings(tmp_path / "campaign.toml"))
    assert sources.keys() == {"samplers outer_sampler:Outer", "samplers inner_sampler:Outer"}
