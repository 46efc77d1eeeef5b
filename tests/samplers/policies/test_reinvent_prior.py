"""Priors of REINVENT 4 give the likelihoods that REINVENT's own network gives, which is written down here again."""

import os
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from molbuffer.samplers.errors import PolicyFormatError
from molbuffer.samplers.models.transformer import TransformerArchitecture, TransformerLanguageModel
from molbuffer.samplers.policies.policy import Policy, load_policy, policy_files
from molbuffer.samplers.policies.reinvent import read_reinvent_prior, write_reinvent_prior
from molbuffer.samplers.tokens.grammars import SMILES
from molbuffer.samplers.tokens.vocabulary import END, PAD, START, Vocabulary

Save = Callable[..., Path]


def their_tokens(smiles: str) -> list[str]:
    """REINVENT's way to split: brackets first, then ring closures of two digits, then Br and Cl, then characters."""

    def split(text: str, patterns: tuple[str, ...]) -> list[str]:
        if not patterns:
            return list(text)
        # Every second part is what the pattern matched.
        parts = re.split(patterns[0], text)
        return [t for i, part in enumerate(parts) for t in ([part] if i % 2 else split(part, patterns[1:]))]

    return split(smiles, (r"(\[[^\]]*\])", r"(%\d{2})", r"(Br|Cl)"))


class TheirNetwork:
    """A model of REINVENT: weights by its names, and the log-probability of tokens."""

    def __init__(self, smiles: list[str], cell: str, layer_norm: bool = False, seed: int = 0) -> None:
        torch.manual_seed(seed)
        known = sorted({token for text in smiles for token in their_tokens(text)})
        self.ids = {token: i for i, token in enumerate(["$", "^", *known])}
        self.cell, self.layer_norm = cell, layer_norm
        self.embedding = torch.nn.Embedding(len(self.ids), 6)
        self.rnn = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell](6, 10, 2, batch_first=True)
        self.linear = torch.nn.Linear(10, len(self.ids))
        torch.nn.init.normal_(self.linear.weight, std=1.5)

    def network(self) -> dict[str, Tensor]:
        parts = {"_embedding": self.embedding, "_rnn": self.rnn, "_linear": self.linear}
        return {f"{part}.{name}": w for part, module in parts.items() for name, w in module.state_dict().items()}

    def save_dict(self) -> dict[str, Any]:
        return {
            "model_type": "Reinvent",
            "version": 1,
            "metadata": {"hash_id": "x", "origina_data_source": "ChEMBL 33", "comments": ["ours"], "updates": [1.5]},
            "vocabulary": {"tokens": self.ids, "pad_token": 0, "bos_token": 1, "eos_token": 2, "unk_token": None},
            "max_sequence_length": 256,
            "network": self.network(),
            "network_params": {
                "dropout": 0.1,
                "layer_size": 10,
                "num_layers": 2,
                "cell_type": self.cell,
                "embedding_layer_size": 6,
                "layer_normalization": self.layer_norm,
            },
        }

    @torch.no_grad()
    def log_probs(self, ids: list[int]) -> list[float]:
        """Of each token after '^', step by step as REINVENT draws, under a softmax over all tokens."""
        state, found = None, []
        for before, after in zip([self.ids["^"], *ids], ids, strict=False):
            output, state = self.rnn(self.embedding(torch.tensor([[before]])), state)
            if self.layer_norm:
                output = functional.layer_norm(output, output.size()[1:])
            found.append(float(self.linear(output)[0, 0].log_softmax(0)[after]))
        return found


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(saved: Any, name: str = "their.prior") -> Path:
        torch.save(saved, tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def lstm(molecules: list[str]) -> TheirNetwork:
    return TheirNetwork(molecules, "lstm")


@pytest.mark.parametrize(("cell", "layer_norm"), [("gru", False), ("lstm", False), ("lstm", True)])
def test_likelihoods_are_those_of_reinvent(molecules: list[str], save: Save, cell: str, layer_norm: bool) -> None:
    theirs = TheirNetwork(molecules, cell, layer_norm)
    prior = read_reinvent_prior(save(theirs.save_dict()))
    assert prior.model.kind == cell
    assert prior.model.architecture()["max_length"] == 255, "theirs counts the '^'"
    tokens, lengths = (torch.from_numpy(a.astype(np.int64)) for a in prior.vocabulary.encode_many(molecules))
    found = prior.model.log_probs(tokens, lengths).detach()
    for row, smiles in enumerate(molecules):
        expected = theirs.log_probs([theirs.ids[token] for token in [*their_tokens(smiles), "$"]])
        assert lengths[row] == len(expected)
        assert found[row, : len(expected)].tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_draws_are_as_likely_there(molecules: list[str], save: Save, cell: str) -> None:
    theirs = TheirNetwork(molecules, cell)
    prior = read_reinvent_prior(save(theirs.save_dict()))
    drawn = prior.model.sample(20, generator=torch.Generator().manual_seed(3))
    names = [None, None, "$", *prior.vocabulary.tokens[3:]]
    carets = 0
    for row, length in enumerate(drawn.lengths.tolist()):
        ids = [theirs.ids[names[token]] for token in drawn.tokens[row, :length].tolist()]
        carets += ids.count(theirs.ids["^"])
        assert drawn.log_probs[row, :length].tolist() == pytest.approx(theirs.log_probs(ids), abs=1e-4)
    assert carets, "a network that nobody trained draws '^', too: it has its share of the probability"


def test_the_softmax_runs_over_their_tokens_and_no_others(lstm: TheirNetwork, save: Save) -> None:
    prior = read_reinvent_prior(save(lstm.save_dict()))
    assert prior.vocabulary.tokens[3:] == ("^", *list(lstm.ids)[2:])
    found = prior.model.logits(torch.tensor([[END]])).detach()[0, 0].exp()
    assert found[PAD] == found[START] == 0
    assert (found[END:] > 0).all()


def test_a_prior_is_a_policy_of_ours(lstm: TheirNetwork, save: Save, tmp_path: Path) -> None:
    prior = read_reinvent_prior(save(lstm.save_dict()))
    folder = tmp_path / "policy"
    folder.mkdir()
    for name, content in policy_files(prior.model, prior.vocabulary).items():
        (folder / name).write_bytes(content)
    again = load_policy(folder)
    one, two = (model.sample(8, generator=torch.Generator().manual_seed(1)) for model in (prior.model, again.model))
    assert torch.equal(one.tokens, two.tokens)
    assert prior.origin == {"data_source": "ChEMBL 33", "comments": ["ours"]}
    assert prior.only_drawn == ["^"]


@pytest.mark.parametrize(
    "smiles", ["C%12CC%12", "ClC(Br)[nH+]1c[13C@@H]cc1", "C/C=C\\[Br-].[Na+]", "BrCCl", "[Cl-]%10[%]"]
)
def test_both_split_alike(smiles: str, molecules: list[str]) -> None:
    for text in [smiles, *molecules]:
        assert SMILES.split(text) == their_tokens(text)


def test_tokens_that_no_smiles_has_are_told(lstm: TheirNetwork, save: Save) -> None:
    saved = lstm.save_dict()
    saved["vocabulary"]["tokens"]["%"] = saved["vocabulary"]["tokens"].pop("S")
    assert read_reinvent_prior(save(saved)).only_drawn == ["^", "%"]


@dataclass
class ModelMetaData:
    hash_id: str
    model_id: UUID
    origina_data_source: str
    creation_date: float
    comments: list[str] = field(default_factory=list)


class SMILESTokenizer:
    pass


class TheirVocabulary:
    def __init__(self, ids: dict[str, int]) -> None:
        self._tokens = {**ids, **{i: token for token, i in ids.items()}}
        self._current_id = len(ids)


@contextmanager
def installed(monkeypatch: pytest.MonkeyPatch, **members: Any) -> Iterator[None]:
    """The module ``reinvent.models`` with these members, for as long as a file is written."""
    with monkeypatch.context() as patched:
        for name in ("reinvent", "reinvent.models"):
            patched.setitem(sys.modules, name, ModuleType(name))
        for name, member in members.items():
            member.__module__, member.__qualname__ = "reinvent.models", name
            setattr(sys.modules["reinvent.models"], name, member)
        yield
    assert "reinvent" not in sys.modules


def test_files_with_objects_of_reinvent_are_read_without_its_classes(
    lstm: TheirNetwork, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = read_reinvent_prior(save(lstm.save_dict()))
    classes = {"Vocabulary": TheirVocabulary, "Tokenizer": SMILESTokenizer, "ModelMetaData": ModelMetaData}
    with installed(monkeypatch, **classes):
        saved = lstm.save_dict()
        saved["vocabulary"], saved["tokenizer"] = TheirVocabulary(lstm.ids), SMILESTokenizer()
        saved["metadata"] = ModelMetaData("x", UUID(int=7), "ChEMBL 25", 1.5)
        del saved["model_type"]
        path = save(saved, "old.prior")
    old = read_reinvent_prior(path)
    assert old.vocabulary == ours.vocabulary
    assert old.origin == {"data_source": "ChEMBL 25", "created": 1.5}
    assert all(torch.equal(w, ours.model.state_dict()[name]) for name, w in old.model.state_dict().items())


class Hostile:
    """Runs a program when it is read."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


@pytest.mark.parametrize("where", ["tokenizer", "network", "whole"])
@pytest.mark.parametrize("function", [os.system, os.mkdir, exec, eval, __import__, getattr])
def test_a_file_that_would_run_something_is_refused(
    lstm: TheirNetwork, save: Save, tmp_path: Path, where: str, function: Any
) -> None:
    marker = tmp_path / "run"
    by_function = {os.system: (f"touch {marker}",), os.mkdir: (str(marker),), getattr: (str, "upper")}
    code = f"__import__('os').mkdir({str(marker)!r})"
    hostile = Hostile(function, *by_function.get(function, ("shutil",) if function is __import__ else (code,)))
    saved = hostile if where == "whole" else {**lstm.save_dict(), where: hostile}
    with pytest.raises(PolicyFormatError, match=function.__name__):
        read_reinvent_prior(save(saved))
    assert not marker.exists()
    if function in (os.system, os.mkdir, exec, eval):
        torch.load(save(saved), weights_only=False)
        assert marker.exists(), "the file is a real danger"


def test_a_name_of_reinvent_is_no_way_in(lstm: TheirNetwork, save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    def trap(*arguments: Any) -> None:
        called.append(arguments)

    with installed(monkeypatch, trap=trap):
        path = save({**lstm.save_dict(), "tokenizer": Hostile(trap, 1)})
        with pytest.raises(PolicyFormatError, match=re.escape(str(path))):
            read_reinvent_prior(path)
    assert not called


def test_a_plain_pickle_is_refused(lstm: TheirNetwork, tmp_path: Path) -> None:
    path = tmp_path / "legacy.prior"
    torch.save(lstm.save_dict(), path, _use_new_zipfile_serialization=False)
    with pytest.raises(PolicyFormatError, match=r"legacy\.prior.*torch\.save"):
        read_reinvent_prior(path)


def test_what_claims_more_than_the_file_has_is_refused(lstm: TheirNetwork, save: Save, tmp_path: Path) -> None:
    saved = lstm.save_dict()
    saved["network"]["_embedding.weight"] = torch.zeros(1).expand(len(lstm.ids), 10**9)
    with pytest.raises(PolicyFormatError, match=r"'_embedding\.weight'"):
        read_reinvent_prior(save(saved))
    compressed = tmp_path / "compressed.prior"
    with (
        zipfile.ZipFile(save(lstm.save_dict())) as there,
        zipfile.ZipFile(compressed, "w", zipfile.ZIP_DEFLATED) as out,
    ):
        for entry in there.infolist():
            out.writestr(entry.filename, there.read(entry) + bytes(10**6))
    with pytest.raises(PolicyFormatError, match=r"compressed\.prior"):
        read_reinvent_prior(compressed)


def test_a_cut_file_is_refused(lstm: TheirNetwork, save: Save) -> None:
    path = save(lstm.save_dict())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(PolicyFormatError, match=r"their\.prior"):
        read_reinvent_prior(path)


def test_a_changed_bit_of_a_weight_is_refused(lstm: TheirNetwork, save: Save) -> None:
    path = save(lstm.save_dict())
    content = bytearray(path.read_bytes())
    at = content.index(lstm.linear.weight.detach().numpy().tobytes())
    content[at + 100] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(PolicyFormatError, match=r"data/\d+"):
        read_reinvent_prior(path)


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_reinvent_prior(tmp_path / "nothing.prior")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model_type": "Mol2Mol"}, "'Mol2Mol'"),
        ({"model_type": "Libinvent"}, "'Libinvent'"),
        ({"model_type": None, "network": None}, "NoneType"),
        ({"network": {}}, "'_embedding.weight'"),
        ({"vocabulary": {"tokens": {"$": 0, "C": 1}}}, " ^"),
        ({"vocabulary": {"tokens": {"$": 0, "^": 2}}}, "0 to 1"),
        ({"vocabulary": {"tokens": {"$": 0, "^": 1}}}, "2 tokens"),
        ({"max_sequence_length": 10**12}, "max_sequence_length"),
        ({"network_params": {"dropout": 7}}, "dropout"),
    ],
)
def test_what_is_no_model_of_ours_is_told(lstm: TheirNetwork, save: Save, change: dict[str, Any], told: str) -> None:
    with pytest.raises(PolicyFormatError, match=re.escape(told)):
        read_reinvent_prior(save({**lstm.save_dict(), **change}))


def test_a_gru_with_layer_normalisation_is_refused(molecules: list[str], save: Save) -> None:
    with pytest.raises(PolicyFormatError, match="gru"):
        read_reinvent_prior(save(TheirNetwork(molecules, "gru", layer_norm=True).save_dict()))


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_what_was_imported_is_exported_as_it_was(molecules: list[str], save: Save, tmp_path: Path, cell: str) -> None:
    theirs = TheirNetwork(molecules, cell)
    prior = read_reinvent_prior(save(theirs.save_dict()))
    write_reinvent_prior(Policy(prior.model, prior.vocabulary, "0" * 64), tmp_path / "back.prior")
    back = torch.load(tmp_path / "back.prior", weights_only=True)
    assert back["vocabulary"]["tokens"] == theirs.ids
    for name in ("max_sequence_length", "network_params", "model_type", "version"):
        assert back[name] == theirs.save_dict()[name]
    assert back["network"].keys() == theirs.network().keys()
    for name, weight in theirs.network().items():
        assert torch.equal(back["network"][name], weight), name


def test_a_policy_of_ours_is_as_likely_there(
    make_model: Callable[..., Any], vocabulary: Vocabulary, tmp_path: Path
) -> None:
    model = make_model()
    write_reinvent_prior(Policy(model, vocabulary, "0" * 64), tmp_path / "ours.prior")
    saved = torch.load(tmp_path / "ours.prior", weights_only=True)
    sizes = saved["network_params"]
    theirs = TheirNetwork(["C"], "gru")
    theirs.ids = saved["vocabulary"]["tokens"]
    theirs.embedding = torch.nn.Embedding(len(theirs.ids), sizes["embedding_layer_size"])
    theirs.rnn = torch.nn.GRU(sizes["embedding_layer_size"], sizes["layer_size"], sizes["num_layers"], batch_first=True)
    theirs.linear = torch.nn.Linear(sizes["layer_size"], len(theirs.ids))
    for part in ("embedding", "rnn", "linear"):
        weights = {k.split(".", 1)[1]: w for k, w in saved["network"].items() if k.startswith(f"_{part}.")}
        getattr(theirs, part).load_state_dict(weights)
    drawn = model.sample(10, generator=torch.Generator().manual_seed(2))
    for row, smiles in enumerate(vocabulary.decode(drawn.tokens.numpy(), drawn.lengths.numpy())):
        length = int(drawn.lengths[row])
        ids = [theirs.ids[token] for token in [*their_tokens(smiles), "$"]][:length]
        assert_close(drawn.log_probs[row, :length], torch.tensor(theirs.log_probs(ids)), atol=1e-4, rtol=0)
    assert theirs.log_probs([theirs.ids["^"]])[0] < -1000, "no policy of ours begins twice"
    again = read_reinvent_prior(tmp_path / "ours.prior")
    assert again.model.architecture()["max_length"] == model.architecture()["max_length"]


def test_reinvent_has_no_transformer(vocabulary: Vocabulary, tmp_path: Path) -> None:
    model = TransformerLanguageModel(TransformerArchitecture(len(vocabulary), hidden_size=8, layers=1, heads=2))
    with pytest.raises(PolicyFormatError, match="transformer"):
        write_reinvent_prior(Policy(model, vocabulary, "0" * 64), tmp_path / "x.prior")
    assert not (tmp_path / "x.prior").exists()
