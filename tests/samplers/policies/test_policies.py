import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from molbuffer.samplers.errors import PolicyFormatError, UnknownPolicyNameError
from molbuffer.samplers.models.gru import GRULanguageModel
from molbuffer.samplers.policies.policy import (
    CONFIG,
    VOCABULARY,
    WEIGHTS,
    bundled_policies,
    find_policy,
    fingerprint,
    load_policy,
    policy_files,
    register_policy,
)
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.storage import SampleStore, content_sha256
from molbuffer.storage.errors import PolicyDamagedError

MakeModel = Callable[..., GRULanguageModel]


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def files(make_model: MakeModel, vocabulary: Vocabulary) -> dict[str, bytes]:
    return policy_files(make_model(), vocabulary)


def test_a_policy_is_loaded_as_it_was_saved(
    tmp_path: Path, files: dict[str, bytes], make_model: MakeModel, vocabulary: Vocabulary
) -> None:
    policy = load_policy(write(tmp_path / "policy", files))
    model = make_model()
    assert policy.vocabulary == vocabulary
    assert policy.kind == "gru"
    assert not policy.model.training
    assert policy.model.architecture() == model.architecture()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, policy.model.state_dict()[name])
    assert policy.sha256 == content_sha256(files) == fingerprint(model, vocabulary)


def test_the_fingerprint_changes_with_the_weights_and_the_vocabulary(
    make_model: MakeModel, vocabulary: Vocabulary
) -> None:
    model = make_model()
    before = fingerprint(model, vocabulary)
    assert fingerprint(make_model(), vocabulary) == before
    assert fingerprint(model, Vocabulary((*vocabulary.tokens[:-1], "[Xe]"))) != before
    with torch.no_grad():
        model.head.bias[5] += 1e-3
    assert fingerprint(model, vocabulary) != before


def test_half_precision_weights_compute_in_single_precision(
    tmp_path: Path, make_model: MakeModel, vocabulary: Vocabulary
) -> None:
    half = policy_files(make_model(), vocabulary, torch.float16)
    assert len(half[WEIGHTS]) < 0.6 * len(policy_files(make_model(), vocabulary)[WEIGHTS])
    policy = load_policy(write(tmp_path / "policy", half))
    assert {p.dtype for p in policy.model.parameters()} == {torch.float32}
    assert policy.sha256 == content_sha256(half)


def test_nothing_in_a_policy_is_a_pickle(files: dict[str, bytes]) -> None:
    assert sorted(files) == sorted([WEIGHTS, CONFIG, VOCABULARY])
    header = int.from_bytes(files[WEIGHTS][:8], "little")
    assert files[WEIGHTS][8 : 8 + header].startswith(b"{")
    json.loads(files[CONFIG])
    json.loads(files[VOCABULARY])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (WEIGHTS, b""),
        (WEIGHTS, b"\x80\x04pickle"),
        (CONFIG, b"{"),
        (CONFIG, b"{}"),
        (CONFIG, b'{"kind": "gru", "architecture": {"vocabulary_size": 9}}'),
        (CONFIG, b'{"kind": "gru", "architecture": {"layers": 2, "colour": 1}}'),
        (CONFIG, b'{"kind": "lstm", "architecture": {}}'),
        (VOCABULARY, b'{"tokens": 3}'),
        (VOCABULARY, b"\xff\xfe"),
    ],
)
def test_damaged_files_are_refused_with_the_folder(
    tmp_path: Path, files: dict[str, bytes], name: str, content: bytes
) -> None:
    folder = write(tmp_path / "policy", files | {name: content})
    with pytest.raises(PolicyFormatError) as caught:
        load_policy(folder)
    assert str(folder) in str(caught.value)


OTHER_SIZES: list[tuple[str, dict[str, int]]] = [
    ("gru", {"hidden_size": 960_000}), ("gru", {"layers": 10**7}), ("lstm", {"layers": 10**7}),
    ("transformer", {"hidden_size": 960_000}), ("transformer", {"max_length": 10**10}),
    ("seq2seq", {"encoder_layers": 10**7}), ("seq2seq", {"hidden_size": 960_000}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "sizes"), OTHER_SIZES)
def test_sizes_that_the_weights_do_not_have_take_no_memory(
    tmp_path: Path, files: dict[str, bytes], kind: str, sizes: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The architecture of a policy of somebody else may be anything."""
    config = {"kind": kind, "architecture": {"vocabulary_size": 9, "max_length": 30} | sizes}
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda *_: pytest.fail("was made"))
    folder = write(tmp_path / "policy", files | {CONFIG: json.dumps(config).encode()})
    with pytest.raises(PolicyFormatError, match=r"the weights are \d+"):
        load_policy(folder)


@pytest.mark.parametrize("name", [WEIGHTS, CONFIG, VOCABULARY])
def test_a_missing_file_is_named(tmp_path: Path, files: dict[str, bytes], name: str) -> None:
    folder = write(tmp_path / "policy", files)
    (folder / name).unlink()
    with pytest.raises(PolicyFormatError, match=name):
        load_policy(folder)


def test_an_unknown_kind_lists_the_known_ones(tmp_path: Path, files: dict[str, bytes]) -> None:
    folder = write(tmp_path / "policy", files | {CONFIG: b'{"kind": "mamba", "architecture": {}}'})
    with pytest.raises(PolicyFormatError, match=r"'mamba'.*gru, huggingface, lstm"):
        load_policy(folder)


def test_a_policy_is_found_by_bundled_name_folder_and_start_of_its_hash(
    tmp_path: Path, files: dict[str, bytes], store: SampleStore
) -> None:
    folder = write(tmp_path / "policy", files)
    assert find_policy(str(folder)) == folder
    for name in bundled_policies():
        assert (find_policy(name) / WEIGHTS).is_file()
    sha256 = register_policy(folder, store)
    assert sha256 == content_sha256(files)
    assert find_policy(sha256[:10], store).name == sha256
    assert load_policy(find_policy(sha256, store)).sha256 == sha256


def test_a_damaged_policy_of_the_store_is_not_called_unknown(
    tmp_path: Path, files: dict[str, bytes], store: SampleStore
) -> None:
    sha256 = register_policy(write(tmp_path / "policy", files), store)
    (store.path / "policies" / sha256 / CONFIG).write_bytes(b"{}")
    with pytest.raises(PolicyDamagedError):
        find_policy(sha256, store)


def test_a_name_that_leads_nowhere_says_where_it_was_looked_for(tmp_path: Path, store: SampleStore) -> None:
    with pytest.raises(UnknownPolicyNameError, match=r"'nowhere': .*zinc-gru"):
        find_policy("nowhere")
    with pytest.raises(UnknownPolicyNameError, match="sha256"):
        find_policy("nowhere", store)
    with pytest.raises(UnknownPolicyNameError):
        find_policy(str(tmp_path), store)
