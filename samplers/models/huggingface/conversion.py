"""The conversion of a folder of Hugging Face files into a model and a vocabulary of this project.

START, END and PAD are the tokens that the files name as BOS, EOS and PAD. The vocabulary has all other tokens of the
tokenizer except special tokens and the unknown token. It has ids of its own, which the model maps to those of the
network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from molbuffer.samplers.errors import DivergedPolicyError, PolicyFormatError, UnknownTokenError
from molbuffer.samplers.models.distribution import UNTRUNCATED
from molbuffer.samplers.models.huggingface.folder import (
    CONFIG,
    SPECIAL_TOKENS,
    TOKENIZER,
    TOKENIZER_CONFIG,
    check_folder,
    checked_config,
    read_json,
)
from molbuffer.samplers.models.huggingface.language_model import (
    HuggingFaceArchitecture,
    HuggingFaceLanguageModel,
    library_config,
    transformers,
)
from molbuffer.samplers.seeds import cpu_generator
from molbuffer.samplers.tokens import END, RESERVED, START, TokenizerGrammar, Vocabulary

LONGEST_DRAW = 512
"""The largest number of tokens of a drawn sequence, if the model has enough positions."""
FEWEST_POSITIONS = 16
"""The least number of positions of a model, since hardly any molecule has fewer tokens."""
UNLIMITED = 2048
"""The number of positions of a model whose config sets no limit."""
MOST_TOKENS = 2**16
"""The largest number of tokens of a vocabulary, since stored tokens are integers of at most two bytes."""
PROBES = ("C", "CCO")
"""SMILES that every tokenizer of SMILES can encode."""
TOLERANCE = 1e-3
"""The largest difference, in nats, of log-probabilities with and without the cache."""


def convert_folder(folder: Path) -> tuple[HuggingFaceLanguageModel, Vocabulary]:
    """Read a folder of Hugging Face files as a model, in evaluation mode, and its vocabulary.

    Raises:
        MissingExtraError: the libraries are not installed.
        PolicyFormatError: the folder has code, pickled weights or no causal language model, or its files contradict
            each other.
    """
    check_folder(folder)
    try:
        config = checked_config(read_json(folder / CONFIG))
        with _quiet():
            # The library warns of default token ids that do not fit a vocabulary of another size.
            settings = library_config(config)
        positions = _positions(folder, settings)
        grammar = TokenizerGrammar.of_file((folder / TOKENIZER).read_bytes(), positions)
        tokens, ids = _tokens(folder, config, int(settings.vocab_size), grammar)
        vocabulary = Vocabulary(tokens, grammar)
        _check_probes(vocabulary)
        # Without a padding id: the library does not train the embedding of padding, which may be that of START.
        config |= {"bos_token_id": ids[START], "eos_token_id": ids[END], "pad_token_id": None}
        sizes = HuggingFaceArchitecture(len(ids), config, ids, min(positions, LONGEST_DRAW), positions)
        model = HuggingFaceLanguageModel(sizes)
        model.network.load_state_dict(_weights(folder, settings))
        _check_cache(model.eval())
    except (PolicyFormatError, DivergedPolicyError) as error:
        raise PolicyFormatError(f"the model in {folder}: {error}") from error
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise PolicyFormatError(f"the files in {folder} do not make a model: {error}") from error
    return model, vocabulary


def _positions(folder: Path, settings: Any) -> int:
    """Return the largest number of tokens of a sequence, END included: START needs a position, and END does not."""
    known = getattr(settings, "max_position_embeddings", None)
    if known is None and (folder / TOKENIZER_CONFIG).exists():
        known = read_json(folder / TOKENIZER_CONFIG).get("model_max_length")
    positions = min(int(known), 2**20) if isinstance(known, int | float) else UNLIMITED
    if positions < FEWEST_POSITIONS:
        raise PolicyFormatError(f"it has {positions} positions, expected at least {FEWEST_POSITIONS}")
    return positions


def _tokens(
    folder: Path, config: Mapping[str, Any], embeddings: int, grammar: TokenizerGrammar
) -> tuple[tuple[str, ...], list[int]]:
    """Return the tokens of the vocabulary, and the network's id of each."""
    tokenizer = grammar.tokenizer
    names = _names_of_special_tokens(folder)
    added = tokenizer.get_added_tokens_decoder()
    special = {token_id for token_id, token in added.items() if token.special}
    known: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    if (largest := max(known.values(), default=-1)) >= embeddings:
        raise PolicyFormatError(
            f"its tokenizer has ids up to {largest}, its embedding has {embeddings} rows: they belong to two models"
        )
    listed = ", ".join(f"{added[i].content} ({i})" for i in sorted(special)) or "none"
    start, end = (
        _special_id(which=which, names=names, config=config, known=known, embeddings=embeddings, listed=listed)
        for which in ("bos", "eos")
    )
    pad = known.get(names.get("pad_token", ""), end)
    unknown = getattr(tokenizer.model, "unk_token", None)
    left_out = {start, end, pad, *special, *(known[name] for name in (unknown,) if name in known)}
    others = sorted((i, token) for token, i in known.items() if i not in left_out and token not in RESERVED)
    if len(RESERVED) + len(others) > MOST_TOKENS:
        raise PolicyFormatError(f"it has {len(others)} tokens, expected at most {MOST_TOKENS - len(RESERVED)}")
    if not others:
        raise PolicyFormatError("its tokenizer has special tokens only")
    return (*RESERVED, *(token for _, token in others)), [pad, start, end, *(i for i, _ in others)]


def _names_of_special_tokens(folder: Path) -> dict[str, str]:
    """Return the texts of special tokens by name, such as ``eos_token``."""
    names: dict[str, str] = {}
    for file in (SPECIAL_TOKENS, TOKENIZER_CONFIG):
        if (folder / file).exists():
            for name, token in read_json(folder / file).items():
                text = token.get("content") if isinstance(token, dict) else token
                if name.endswith("_token") and isinstance(text, str):
                    names[name] = text
    return names


def _special_id(
    *,
    which: str,
    names: Mapping[str, str],
    config: Mapping[str, Any],
    known: Mapping[str, int],
    embeddings: int,
    listed: str,
) -> int:
    """Return the network's id of the token that begins, or ends, a sequence.

    The files of the tokenizer take precedence over the config, which may have defaults that do not fit the tokenizer.
    """
    role = {"bos": "begins", "eos": "ends"}[which]
    if (name := names.get(f"{which}_token")) is not None:
        if name not in known:
            raise PolicyFormatError(f"its {which}_token {name!r} is not in its {TOKENIZER}")
        return known[name]
    given = config.get(f"{which}_token_id")
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    if type(given) is int and 0 <= given < embeddings and given in known.values():
        return given
    raise PolicyFormatError(
        f"it has no token that {role} a sequence: set {which}_token in {TOKENIZER_CONFIG}, or {which}_token_id in "
        f"{CONFIG} (got {given!r}); the special tokens of its tokenizer are: {listed}"
    )


def _check_probes(vocabulary: Vocabulary) -> None:
    """Refuse a tokenizer that cannot encode SMILES."""
    for text in PROBES:
        try:
            vocabulary.encode(text)
        except UnknownTokenError as error:
            raise PolicyFormatError(f"its tokenizer does not keep SMILES as they are: {error}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the progress bar of the library, and its report of loaded weights, inside of this context."""
    library = transformers().utils.logging
    shown, verbosity = library.is_progress_bar_enabled(), library.get_verbosity()
    library.disable_progress_bar()
    library.set_verbosity_error()
    try:
        yield
    finally:
        library.set_verbosity(verbosity)
        if shown:
            library.enable_progress_bar()


def _weights(folder: Path, settings: Any) -> Mapping[str, torch.Tensor]:
    """Read the weights of safetensors in float32; the library knows the names of older releases."""
    with _quiet():
        network, found = transformers().AutoModelForCausalLM.from_pretrained(
            str(folder),
            config=settings,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if keys := sorted(map(str, found.get(problem) or ())):
            raise PolicyFormatError(f"its weights do not fit its {CONFIG}: {problem.replace('_', ' ')} {_some(keys)}")
    weights: Mapping[str, torch.Tensor] = network.state_dict()
    return weights


def _some(keys: Sequence[str]) -> str:
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def _check_cache(model: HuggingFaceLanguageModel) -> None:
    """Refuse a network whose log-probabilities with and without its cache differ, or are NaN."""
    drawn = model.sample(4, generator=cpu_generator(0))
    with torch.no_grad():
        again = model.log_probs(drawn.tokens, drawn.lengths, sampling=UNTRUNCATED)
    difference = float((again - drawn.log_probs).abs().max())
    if not difference <= TOLERANCE:
        raise PolicyFormatError(
            f"its log-probabilities with the cache differ by {difference:g} from those without, expected at most "
            f"{TOLERANCE:g}"
        )
