"""Policies as files: a model's weights, its architecture and its vocabulary; and finding a policy by its name.

A policy is a folder with ``weights.safetensors``, ``config.json`` and ``vocabulary.json``. Loading it executes no code:
weights are read by safetensors only. A folder of a Hugging Face model stands for the policy that it is converted to.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from molbuffer.kinds import KindError, WrongKeyError, shown
from molbuffer.samplers import bundled
from molbuffer.samplers.errors import PolicyFormatError, UnknownPolicyNameError
from molbuffer.samplers.models import (
    MODELS,
    DrawnStates,
    GenerativeModel,
    ModelKind,
    Precision,
    convert_folder,
    is_huggingface,
)
from molbuffer.samplers.policies.folders import CONFIG, VOCABULARY, WEIGHTS, check_policy_folder
from molbuffer.samplers.policies.of_runs import OF_RUN, policy_of_run
from molbuffer.samplers.tokens import Vocabulary
from molbuffer.storage import Place, SampleStore, UnknownPolicyError, content_sha256

_FEW_LAYERS, _SMALL_TABLE = 1_000, 10**8


@dataclass(frozen=True)
class Policy:
    """A generative model with its vocabulary.

    Attributes:
        model: the generative model.
        vocabulary: the vocabulary of the model.
        sha256: the sha256 of the policy's files. It changes with every training step; ``fingerprint`` computes it for a
            policy in training.
        precision: the precision of the matrix products with which a GRU draws; all other models draw in float32.
        drawn_states: for a policy in training, the store of the hidden states with which a GRU draws, for its gradient.

    Example:
        >>> policy = lab.policy("zinc-gru")
        >>> policy.kind, mb.Policy.of(policy.model, policy.vocabulary).vocabulary is policy.vocabulary
        ('gru', True)
    """

    model: GenerativeModel
    vocabulary: Vocabulary
    sha256: str
    precision: Precision = "float32"
    drawn_states: DrawnStates | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, model: GenerativeModel, vocabulary: Vocabulary) -> Policy:
        """Return the policy of a model and its vocabulary, with the sha256 of the present weights."""
        return cls(model, vocabulary, fingerprint(model, vocabulary))

    @property
    def kind(self) -> str:
        return self.model.kind


def check_function(field: str, give: object) -> None:
    """Refuse a value that is no function for a sampler's field that takes a function which returns a policy.

    Args:
        field: the name of the sampler's field.
        give: the value of the field.

    Raises:
        WrongKeyError: the value is no function.
    """
    if not callable(give):
        hint = f": write {field}=lambda: policy" if isinstance(give, Policy) else ""
        raise WrongKeyError(
            field, f"{field}: expected a function that returns a Policy, such as run.agent, got {shown(give)}{hint}"
        )


def given_policy(field: str, give: Callable[[], object]) -> Policy:
    """Return the policy that the function in a sampler's field returns now.

    Raises:
        WrongKeyError: the value is no function, or does not return a policy.
    """
    check_function(field, give)
    policy = give()
    if not isinstance(policy, Policy):
        raise WrongKeyError(
            field, f"{field}: expected a function that returns a Policy, got one that returns {shown(policy)}"
        )
    return policy


def policy_files(
    model: GenerativeModel, vocabulary: Vocabulary, dtype: torch.dtype = torch.float32
) -> dict[str, bytes]:
    """Return the files of a policy by name; equal weights have equal bytes."""
    weights = {name: tensor.detach().to(dtype).contiguous().cpu() for name, tensor in model.state_dict().items()}
    config = {"kind": model.kind, "architecture": dict(model.architecture())}
    return {
        WEIGHTS: save(weights),
        CONFIG: json.dumps(config, indent=1, sort_keys=True).encode(),
        VOCABULARY: vocabulary.to_json().encode(),
    }


def fingerprint(model: GenerativeModel, vocabulary: Vocabulary) -> str:
    """Return the sha256 under which the store would keep a model with its present weights."""
    return content_sha256(policy_files(model, vocabulary))


def load_policy(folder: Place, device: torch.device | str = "cpu") -> Policy:
    """Load the policy in a folder; the model computes in float32 whatever precision the weights were stored in.

    Args:
        folder: the folder of a policy, or of a Hugging Face model.
        device: the device that the model computes on.

    Raises:
        PolicyFormatError: a file is missing or damaged, or the weights do not fit the architecture.
        MissingExtraError: the policy needs libraries that are not installed.
    """
    files = read_policy_files(folder)
    try:
        config = json.loads(files[CONFIG])
        try:
            kind = MODELS[config["kind"]]
        except KindError as error:
            raise PolicyFormatError(f"{folder / CONFIG}: {error}") from error
        vocabulary = Vocabulary.from_json(files[VOCABULARY].decode())
        weights: dict[str, Tensor] = load(files[WEIGHTS])
        _refuse_other_sizes(kind, config["architecture"], weights)
        model = kind.make(config["architecture"])
        model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise PolicyFormatError(f"the files in {folder} do not make a policy: {error}") from error
    model.eval()
    return Policy(model.to(device), vocabulary, content_sha256(files))


def _refuse_other_sizes(kind: ModelKind, sizes: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Refuse sizes that are far larger than the weights, before a model of these sizes takes gigabytes of memory.

    Raises:
        ValueError: the sizes do not fit the weights.
    """
    found = sum(tensor.numel() for tensor in weights.values())
    named = [sizes, *(inner for inner in sizes.values() if isinstance(inner, Mapping))]
    layers = [value for each in named for name, value in each.items() if "layer" in name and type(value) is int]
    if max(layers, default=0) > max(_FEW_LAYERS, len(weights)):
        raise ValueError(f"the architecture has {max(layers)} layers, the weights are {len(weights)} tensors")
    # A model may make a table of positions, which the weights do not have.
    table = math.prod(sorted(value for value in sizes.values() if type(value) is int)[-2:])
    if not kind.converted and table > max(_SMALL_TABLE, found):
        raise ValueError(f"the architecture {dict(sizes)} has a table of {table} numbers, the weights are {found}")
    # Making a model on the meta device imports torch's compiler, which takes a second. Most sizes need no such check.
    if max(layers, default=1) * table <= found:
        return
    with torch.device("meta"):
        expected = sum(tensor.numel() for tensor in kind.make(sizes).state_dict().values())
    if expected > 2 * found:
        raise ValueError(f"the architecture has {expected} numbers, the weights are {found}")


def read_policy_files(folder: Place) -> dict[str, bytes]:
    """Return the files of the policy in a folder by name; a Hugging Face model is converted.

    Raises:
        PolicyFormatError: a file is missing, or the Hugging Face model is refused.
        MissingExtraError: the libraries that convert a model are not installed.
    """
    if isinstance(folder, Path):
        check_policy_folder(folder)
        if is_huggingface(folder):
            return policy_files(*convert_folder(folder))
    try:
        return {name: (folder / name).read_bytes() for name in (WEIGHTS, CONFIG, VOCABULARY)}
    except OSError as error:
        raise PolicyFormatError(f"{folder} is not a policy: {error.strerror}: {error.filename}") from error


def bundled_policies() -> list[str]:
    """Return the names of the bundled policies."""
    return sorted(path.parent.name for path in _bundled_folder().glob(f"*/{CONFIG}"))


def find_policy(name: str, store: SampleStore | None = None) -> Place:
    """Return the folder of a policy.

    A name is that of a bundled policy, a folder, a sha256 in the store or its first characters, or "run:RUN_ID" for the
    last policy of a run.

    Raises:
        UnknownPolicyNameError: no policy has the name; the message lists all places that were searched.
        UnknownRunError: the store has no such run.
        UnknownPolicyError: the run has published no policy.
        StoreError: the policy in the store is damaged.
    """
    if name in bundled_policies():
        return _bundled_folder() / name
    if (Path(name) / CONFIG).is_file():
        return Path(name)
    if store is not None:
        if name.startswith(OF_RUN):
            name = policy_of_run(store, name)
        try:
            return store.policies.folder(store.policies.resolve(name))
        except UnknownPolicyError:
            pass  # the error below names the store with the other places
    known = ", ".join(bundled_policies())
    where = f"a sha256 in the store, or {OF_RUN}RUN_ID" if store is not None else "(no store was given to look in)"
    close = difflib.get_close_matches(name, bundled_policies(), n=1)
    raise UnknownPolicyNameError(
        f"no policy {name!r}: it is neither bundled ({known}), nor a policy's folder, nor {where}"
        + (f"; did you mean {close[0]!r}?" if close else "")
    )


def register_policy(policy_folder: Place, store: SampleStore) -> str:
    """Copy a policy's three files into the store, and return the sha256 under which the store keeps them."""
    return store.policies.add(read_policy_files(policy_folder))


def open_policy(name: str, store: SampleStore, device: torch.device | str = "cpu") -> Policy:
    """Load a policy onto a device by a name that ``find_policy`` takes, and copy its files into the store."""
    sha256 = register_policy(find_policy(name, store), store)
    return load_policy(store.policies.folder(sha256), device)


def _bundled_folder() -> Path:
    return Path(bundled.__file__).parent
