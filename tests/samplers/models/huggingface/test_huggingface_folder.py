import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file, save_file

from molbuffer.samplers.errors import MissingExtraError, PolicyFormatError
from molbuffer.samplers.models.huggingface import language_model
from molbuffer.samplers.models.huggingface.folder import check_folder, is_huggingface
from molbuffer.samplers.policies.policy import find_policy, load_policy
from molbuffer.samplers.tokens.tokenizer_grammar import TokenizerGrammar

MakeFolder = Callable[..., Path]
Change = Callable[[Path], object]


def changed_json(name: str, **values: object) -> Change:
    def change(folder: Path) -> None:
        content = json.loads((folder / name).read_text()) | values
        (folder / name).write_text(json.dumps({key: value for key, value in content.items() if value is not None}))

    return change


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04pickle")


def without_names(folder: Path) -> None:
    changed_json("tokenizer_config.json", eos_token=None)(folder)
    changed_json("config.json", eos_token_id=None)(folder)


def other_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["transformer.stranger"] = torch.zeros(2)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def lacking_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["transformer.wpe.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def diverged(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["transformer.wpe.weight"][:] = torch.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def cut_off(name: str) -> Change:
    def change(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) - 7])

    return change


def in_parts(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}')


def lowercased(folder: Path) -> None:
    changed_json("tokenizer.json", normalizer={"type": "Lowercase"})(folder)


NAMES_ONLY: dict[str, tuple[Change, str]] = {
    "pickles": (pickled, "pytorch_model.bin is a pickle.*never read; save it with save_pretrained"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "has no model.safetensors; save it"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer.json"),
    "code of the model": (
        changed_json("config.json", auto_map={"AutoModel": "a.B"}),
        "config of the model has auto_map",
    ),
    "code of the tokenizer": (
        changed_json("tokenizer_config.json", auto_map={"AutoTokenizer": ["a.B", None]}),
        "config of the tokenizer has auto_map",
    ),
    "a script": (lambda folder: (folder / "modeling_mine.py").write_text("1"), r"code of its own \(modeling_mine.py\)"),
    "quantised": (changed_json("config.json", quantization_config={"bits": 4}), "quantization_config: it is quantised"),
    "another kind": (changed_json("config.json", model_type="mamba"), "model_type is 'mamba', expected one of: gemma"),
    "an encoder": (changed_json("config.json", is_encoder_decoder=True), "an encoder and a decoder"),
    "broken config": (cut_off("config.json"), r"config\.json is not JSON"),
    "no config": (lambda folder: (folder / "config.json").write_text("[]"), r"config\.json: expected a JSON object"),
    "broken tokenizer": (cut_off("tokenizer.json"), r"tokenizer\.json is not JSON"),
    "no tokenizer file": (
        lambda folder: (folder / "tokenizer.json").write_text("{}"),
        r"tokenizer\.json has no table `model`",
    ),
    "broken names": (cut_off("tokenizer_config.json"), r"tokenizer_config\.json is not JSON"),
    "cut-off weights": (cut_off("model.safetensors"), r"model\.safetensors is cut off or damaged: it has \d+ bytes"),
    "no safetensors": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"{"),
        r"model\.safetensors is not a file of safetensors, or is cut off at 1 bytes",
    ),
    "a lacking part": (in_parts, r"model-1\.safetensors cannot be read: No such file"),
}
"""What the names and texts of a folder show."""
CONTENT: dict[str, tuple[Change, str]] = {
    "no EOS": (without_names, r"no token that ends a sequence: set eos_token .*\(got None\).*<eos> \(2\)"),
    "EOS out of range": (
        lambda folder: (
            changed_json("tokenizer_config.json", eos_token=None)(folder),
            changed_json("config.json", eos_token_id=50256)(folder),
        ),
        r"no token that ends a sequence.*\(got 50256\)",
    ),
    "several EOS": (
        lambda folder: (
            changed_json("tokenizer_config.json", eos_token=None)(folder),
            changed_json("config.json", eos_token_id=[2, 5])(folder),
        ),
        r"no token that ends a sequence.*\(got \[2, 5\]\)",
    ),
    "an unknown BOS": (
        changed_json("tokenizer_config.json", bos_token="<s>"),
        "bos_token '<s>' is not in its tokenizer",
    ),
    "few positions": (changed_json("config.json", n_positions=8), "has 8 positions, expected at least 16"),
    "another tokenizer": (changed_json("config.json", vocab_size=50), "ids up to 99, its embedding has 50 rows"),
    "another size": (
        changed_json("config.json", vocab_size=120),
        "weights do not fit its config.json: mismatched keys",
    ),
    "further weights": (other_weights, "unexpected keys transformer.stranger"),
    "missing weights": (lacking_weights, "missing keys transformer.wpe.weight"),
    "no numbers": (diverged, "NaN"),
    "text that changes": (lowercased, "does not keep SMILES as they are: .*'C'"),
}
"""What only shows when a folder is read."""


@pytest.fixture
def copied(gpt2_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(gpt2_folder, tmp_path / "model"))


@pytest.mark.parametrize("name", NAMES_ONLY)
def test_a_folder_is_refused_by_its_names_and_texts(copied: Path, name: str) -> None:
    change, message = NAMES_ONLY[name]
    check_folder(copied)
    change(copied)
    for read in (check_folder, load_policy):
        with pytest.raises(PolicyFormatError, match=message) as caught:
            read(copied)
        assert str(copied) in str(caught.value)


@pytest.mark.parametrize("name", CONTENT)
def test_a_folder_is_refused_by_its_content(copied: Path, name: str) -> None:
    change, message = CONTENT[name]
    change(copied)
    with pytest.raises(PolicyFormatError, match=message) as caught:
        load_policy(copied)
    assert str(copied) in str(caught.value)


def test_pickles_beside_safetensors_are_not_read(copied: Path) -> None:
    expected = load_policy(copied).sha256
    (copied / "pytorch_model.bin").write_bytes(b"\x80\x04pickle")
    assert load_policy(copied).sha256 == expected


def test_ids_of_the_config_count_where_the_tokenizer_names_no_tokens(copied: Path) -> None:
    expected = load_policy(copied)
    (copied / "tokenizer_config.json").unlink()
    found = load_policy(copied)
    assert found.model.sizes.ids[1:3] == expected.model.sizes.ids[1:3] == [1, 2]


def test_begin_and_end_may_be_one_token_as_in_gpt2(copied: Path) -> None:
    changed_json("tokenizer_config.json", bos_token="<eos>")(copied)
    policy = load_policy(copied)
    assert policy.model.sizes.ids[1:3] == [2, 2]
    drawn = policy.model.sample(20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(policy.model.log_probs(drawn.tokens, drawn.lengths), drawn.log_probs, atol=1e-4, rtol=0)


def test_special_and_unknown_tokens_are_not_in_the_vocabulary(copied: Path) -> None:
    vocabulary = load_policy(copied).vocabulary
    assert vocabulary.tokens[3:] == tuple(token for token in vocabulary.tokens if token not in ("<bos>", "<eos>"))[3:]
    assert len(vocabulary) == 100, "100 ids of the tokenizer, of which three are special, and three reserved ones"


def test_a_folder_of_ours_is_none(copied: Path) -> None:
    assert is_huggingface(copied)
    assert not is_huggingface(Path(str(find_policy("zinc-gru"))))
    assert not is_huggingface(copied / "missing")


def test_the_extra_is_named_where_its_libraries_are_missing(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in ("transformers", "tokenizers"):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(MissingExtraError, match=r'pip install "molbuffer\[transformers\]"'):
            load_policy(copied)
        monkeypatch.delitem(sys.modules, name)
    assert language_model.transformers().__name__ == "transformers"


def test_an_encoding_of_a_folder_is_never_random_cut_or_filled(huggingface: ModuleType, molecules: list[str]) -> None:
    tokenizer = huggingface.tokenizer_of(molecules)
    tokenizer.model.dropout = 0.5
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=50)
    grammar = TokenizerGrammar.of_file(tokenizer.to_str().encode(), 64)
    assert all(grammar.join(grammar.split(text)) == text for text in molecules)
    assert len({tuple(grammar.split(molecules[0])) for _ in range(20)}) == 1
