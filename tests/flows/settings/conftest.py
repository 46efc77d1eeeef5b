"""All objects that settings are assembled to, described by plain values that can be compared."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from enum import Enum
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from molbuffer.flows.campaign.campaign import Campaign, run_record
from molbuffer.flows.campaign.training import assemble_offline, assemble_online
from molbuffer.flows.settings.settings import Settings
from molbuffer.flows.tasks.build_request import build_requests
from molbuffer.samplers.latents.priors import NormalPrior
from molbuffer.samplers.latents.source import LatentTable, latent_files
from molbuffer.samplers.models.autoencoders.vae_gru import VAE, VAEArchitecture
from molbuffer.samplers.models.seq2seq import Seq2SeqArchitecture, Seq2SeqModel
from molbuffer.samplers.policies.policy import Policy, open_policy, policy_files
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.storage import SampleStore
from molbuffer.storage.history.index import HistoryIndex, IndexScope
from molbuffer.storage.records import Build, Commit, Event, PolicyVersion, Reward, Run, RunKind, Samples
from molbuffer.storage.rows import Rows
from molbuffer.training.adam import Adam

Description = Mapping[str, str]
"""The plain values of an object, by the path of attributes and positions that leads to each."""

SMILES = ("CCN", "CCO", "CNCC", "COCO")
CHAINS = Vocabulary((*RESERVED, "C", "N", "O"))
SIZES = {"latent_size": 3, "embedding_size": 8, "encoder_size": 8, "hidden_size": 16, "max_length": 8}
PAIR_SIZES = {"hidden_size": 16, "encoder_layers": 1, "decoder_layers": 1, "heads": 2, "max_length": 8}
EXAMPLES = Path(__file__).parents[3] / "examples"
CLOSED = (SampleStore, HistoryIndex, np.ndarray, type)
"""Objects that are not looked into: what they hold follows from the store and not from the settings."""
RANDOM = "owner"
"""The field of a scorer by which processes know whose a claim is: another one each time."""
PLUGINS = """
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from molbuffer.samplers import Sampler, SamplerSize
from molbuffer.samplers.models import GRULanguageModel
from molbuffer.scoring import Picks, Prediction
from molbuffer.storage import Uniform
from molbuffer.training import Reinvent


@dataclass(frozen=True)
class Reject:
    name: str = "reject"

    def accepts(self, molecule):
        return False


@dataclass(frozen=True)
class Nothing(Sampler):
    name: str
    size: SamplerSize = SamplerSize()
    kind: ClassVar[str] = "nothing"

    def draw(self, n, seed):
        raise NotImplementedError


class RejectToo(Reject): pass
class NothingToo(Nothing): pass

@dataclass(frozen=True)
class Straight:
    kind: ClassVar[str] = "straight"

    def settings(self):
        return {"kind": self.kind}

    def __call__(self, values):
        return values


class StraightToo(Straight):
    kind: ClassVar[str] = "straight too"


class Any(Uniform): pass
class AnyToo(Uniform): pass
class Plain(Reinvent): pass
class PlainToo(Reinvent): pass

class AModel(GRULanguageModel):
    kind = "own"

    @dataclass(frozen=True)
    class Sizes:
        vocabulary_size: int
        max_length: int


@dataclass(frozen=True)
class First:
    candidates: float = 2.0

    def choose(self, smiles, n, seed):
        return range(min(n, len(smiles)))

class FirstToo(First): pass

@dataclass(frozen=True)
class Constant:
    value: float = 0.5

    def fit(self, smiles, values, seed):
        return self

    def predict(self, smiles):
        return Prediction(np.full(len(smiles), self.value), np.zeros(len(smiles)))

class ConstantToo(Constant): pass

@dataclass(frozen=True)
class InOrder:
    offset: float = 0.0

    def pick(self, prediction, best, n, seed):
        return Picks(np.arange(min(n, len(prediction))), prediction.mean + self.offset)

class InOrderToo(InOrder): pass

@dataclass(frozen=True)
class Lines:
    file: str = "a"

    def open(self, run):
        raise NotImplementedError

class LinesToo(Lines): pass
"""
"""Classes of the user, two of each family."""
RUN = "1" * 32
OTHER_RUN = "2" * 32
OBJECTIVE = "objective"


@pytest.fixture(scope="session")
def named(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A folder with policies, files, a module and a store; and the sha256 of latents in the store, by their names."""
    folder = tmp_path_factory.mktemp("named")
    names = {"folder": str(folder), "examples": str(EXAMPLES)}
    for file in ("docking/receptor.pdbqt", "docking/ligand.sdf", "models/logp.onnx", "models/logp.pt"):
        shutil.copy(EXAMPLES / file, folder)
    models: dict[str, nn.Module] = {}
    for seed, name in enumerate(("vae", "stranger")):
        torch.manual_seed(seed)
        models[name] = VAE(VAEArchitecture(len(CHAINS), geometry="normal", concentration=20.0, **SIZES))
    for name in ("pairs", "other-pairs"):
        models[name] = Seq2SeqModel(Seq2SeqArchitecture(len(CHAINS), **PAIR_SIZES))
    for name, model in models.items():
        (folder / name).mkdir()
        for file, content in policy_files(model, CHAINS).items():
            (folder / name / file).write_bytes(content)
    (folder / "some.csv").write_text("smiles,source,target,other\nCCN,CCN,CCO,COC\n")
    (folder / "more.csv").write_text("smiles,source,target,other\nCCO,CCO,CCN,CNC\nCOC,COC,CNC,CCC\n")
    (folder / "front.csv").write_text("raw_similarity:CCO\n0.5\n")
    (folder / "other-front.csv").write_text("raw_similarity:CCO\n0.75\n")
    np.save(folder / "some.npy", np.eye(3, dtype=np.float32))
    np.save(folder / "more.npy", 2 * np.eye(3, dtype=np.float32))
    (folder / "scorers.py").write_text("def one(smiles, x=1): return 1\ndef two(smiles, x=1): return 1\n")
    (folder / "plugins.py").write_text(PLUGINS)
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "plugins.py").write_text(PLUGINS)
    (folder / "elsewhere" / "scorers.py").write_text("def one(smiles, x=1): return 0.5\n")
    with SampleStore.create(folder / "store") as store:
        _fill(store, open_policy(str(folder / "vae"), store))
        sources = {"prior": NormalPrior(3, 2), "other_prior": NormalPrior(3, 3)}
        sources |= {"vectors": LatentTable.of(torch.eye(3)), "other_vectors": LatentTable.of(3 * torch.eye(3))}
        for name, source in sources.items():
            names[name] = store.policies.add(latent_files(source))
    return names


def _fill(store: SampleStore, policy: Policy) -> None:
    """Start the runs that settings are assembled for, and store rows with latents that have a reward under theirs."""
    store.start_run(Run(OTHER_RUN, "other", RunKind.TRAIN, "{}", 0, objective_sha256=OBJECTIVE))
    tokens, lengths = CHAINS.encode_many(list(SMILES))
    rows = Rows(
        tokens=tokens,
        lengths=lengths,
        log_probs=np.zeros(tokens.shape, np.float32),
        latents=np.eye(len(SMILES), 3, dtype=np.float32),
        vocabulary_sha256=CHAINS.sha256,
    )
    build = Build(
        run_id=OTHER_RUN,
        iteration=0,
        event=Event.BUILD_BUFFER,
        sampler="drawn",
        sampler_kind="prior",
        samples=Samples(raw=SMILES, smiles=SMILES, rejected_by=[None] * len(SMILES), rows=rows),
        policy_sha256=policy.sha256,
        objective_sha256=OBJECTIVE,
        rewards=[Reward(row, OBJECTIVE, 0.2 * row) for row in range(len(SMILES))],
    )
    version = PolicyVersion(policy.sha256, policy.kind, run_id=OTHER_RUN, iteration=0, weights_kept=True)
    store.commit(Commit([build], policies=[version]))
    record = Run(RUN, "keys", RunKind.TRAIN, "{}", 0, objective_sha256=OBJECTIVE, pinned_snapshot=store.snapshot())
    store.start_run(record)


Assembled = Callable[..., Description]


@pytest.fixture(scope="session")
def assembled(named: Mapping[str, str]) -> Iterator[Assembled]:
    """Assembles a part of a run of settings, and describes it; nothing is run. Equal settings are assembled once, or
    ``anew``.

    The parts: ``run``, the record of the run; ``logs``, where it is logged; ``online`` and ``offline``, a ``Training``;
    ``failures``; ``chunks``, those of a build; and ``workers``, who makes them.
    """
    with SampleStore.open(Path(named["folder"], "store")) as store:
        # The store stays as it is, and to read it again for each key would be most of the time.
        for read in ("index", "latest_checkpoint", "receipts", "run", "snapshot"):
            setattr(store, read, cache(getattr(store, read)))
        index, policy = store.index, cache(partial(open_policy, store=store))

        def index_of(scope: IndexScope) -> HistoryIndex:
            # Under all objectives without rewards there is one index.
            return index(scope if scope.objective_sha256 == OBJECTIVE else replace(scope, objective_sha256="none"))

        store.index = index_of  # type: ignore[method-assign]

        known: dict[tuple[str, str], Description] = {}

        def part_of(settings: Settings, part: str, *, anew: bool = False) -> Description:
            key = (repr(settings), part)
            if key not in known or anew:
                named = settings.policy
                agent = None if named.agent is None else policy(named.agent)
                campaign = Campaign(settings, store, RUN, settings.campaign.seed, policy(named.prior), agent)
                known[key] = described({part: PARTS[part](campaign)})
            return known[key]

        yield part_of


def _record(campaign: Campaign) -> Mapping[str, object]:
    record = asdict(run_record(campaign.settings, campaign.store, RunKind.TRAIN, RUN))
    # The configuration as a text has every key, whether or not anything is made of it.
    return {name: value for name, value in record.items() if name != "config"}


def _share(campaign: Campaign) -> float:
    return campaign.failures().context.max_failed_share


def _logs(campaign: Campaign) -> Mapping[str, object]:
    logging = campaign.settings.logging
    return {"loggers": logging.loggers, "pictures_every": logging.pictures_every}


def _chunks(campaign: Campaign) -> list[int]:
    return [request.wanted for request in build_requests(campaign, 0, campaign.start.sha256)]


def _workers(campaign: Campaign) -> object:
    return campaign.settings.runner


PARTS: Mapping[str, Callable[[Campaign], object]] = {
    "run": _record,
    "logs": _logs,
    "online": assemble_online,
    "offline": assemble_offline,
    "failures": _share,
    "chunks": _chunks,
    "workers": _workers,
}


def described(value: object) -> Description:
    """Return the plain values of an object and of all objects in it."""
    return dict(_values(value, "", ()))


def _values(value: Any, path: str, outer: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    if id(value) in outer:
        return
    if value is None or isinstance(value, bool | int | float | str | bytes | Path | Enum):
        yield path, repr(value)
        return
    yield path, type(value).__name__
    for name, item in _items(value).items():
        yield from _values(item, f"{path}.{name}" if path else str(name), (*outer, id(value)))


def _items(value: Any) -> Mapping[Any, Any]:
    """Return what an object is made of, by name or position."""
    match value:
        case Policy() | Vocabulary():
            return {"sha256": value.sha256}
        case Tensor():
            return {"shape": tuple(value.shape), "bytes": sha256(value.detach().numpy().tobytes()).hexdigest()}
        case nn.Module():
            return value.state_dict()
        case Adam():
            return {"learning_rate": value.learning_rate}
        case MethodType():
            return {"name": value.__qualname__}
        case FunctionType():
            cells = dict(zip(value.__code__.co_freevars, value.__closure__ or (), strict=True))
            return {"name": value.__qualname__, **{name: cell.cell_contents for name, cell in cells.items()}}
        case Mapping():
            return value
        case list() | tuple():
            return dict(enumerate(value))
        case set() | frozenset():
            return dict(enumerate(sorted(value, key=repr)))
    if isinstance(value, CLOSED):
        return {}
    if is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in fields(value) if each.name != RANDOM}
    return vars(value) if hasattr(value, "__dict__") else {}
