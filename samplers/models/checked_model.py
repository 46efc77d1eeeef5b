"""Checks of the draws and log-probabilities of models, which may be classes that are not molbuffer's own."""

from __future__ import annotations

import torch
from torch import Tensor

from molbuffer.kinds import calling, shown, wrong_result
from molbuffer.samplers.models.condition import UNCONDITIONED, Condition
from molbuffer.samplers.models.distribution import UNTRUNCATED, Sampling
from molbuffer.samplers.models.protocol import GenerativeModel, Sequences


def draw_sequences(
    *, model: GenerativeModel, n: int, condition: Condition, sampling: Sampling, generator: torch.Generator, tokens: int
) -> Sequences:
    """Return n sequences that a model draws.

    Args:
        model: the model.
        n: the number of sequences.
        condition: the condition of each sequence.
        sampling: the changes to the token distribution.
        generator: the source of randomness.
        tokens: the number of tokens of the vocabulary.

    Raises:
        PluginError: the model fails, or draws something else.
    """
    with calling("model", model, f"to sample {n} sequences"):
        drawn = model.sample(n, condition=condition, sampling=sampling, generator=generator)
    if not isinstance(drawn, Sequences):
        raise wrong_result("model", model, f"{shown(drawn)} in sample()", "Sequences")
    _check_tensor(model, "tokens", drawn.tokens, (n, None), whole=True)
    width = drawn.tokens.shape[1]
    _check_tensor(model, "lengths", drawn.lengths, (n,), whole=True)
    _check_tensor(model, "log_probs", drawn.log_probs, (n, width), whole=False)
    if drawn.latents is not None:
        _check_tensor(model, "latents", drawn.latents, (n, None), whole=False)
    if n and not 0 <= int(drawn.lengths.min()) <= int(drawn.lengths.max()) <= width:
        raise wrong_result("model", model, "lengths outside of its tokens", f"lengths from 0 to the width, {width}")
    if drawn.tokens.numel() and not 0 <= int(drawn.tokens.min()) <= int(drawn.tokens.max()) < tokens:
        raise wrong_result(
            "model", model, f"a token outside of the vocabulary, {int(drawn.tokens.max())}", f"tokens below {tokens}"
        )
    return drawn


def likelihoods(
    model: GenerativeModel,
    tokens: Tensor,
    lengths: Tensor,
    *,
    condition: Condition = UNCONDITIONED,
    sampling: Sampling = UNTRUNCATED,
) -> Tensor:
    """Return the log-probability [n, L] of each token of [n, L] under a model, as ``GenerativeModel.log_probs`` does.

    Raises:
        PluginError: the model fails, or returns something else.
    """
    with calling("model", model, f"for the log_probs of {len(lengths)} sequences"):
        found = model.log_probs(tokens, lengths, condition=condition, sampling=sampling)
    _check_tensor(model, "log_probs()", found, tuple(tokens.shape), whole=False)
    return found


def _check_tensor(
    model: GenerativeModel, name: str, found: object, shape: tuple[int | None, ...], *, whole: bool
) -> None:
    kind = "int64" if whole else "float32"
    expected = f"{kind} [{', '.join('L' if size is None else str(size) for size in shape)}]"
    if not isinstance(found, Tensor):
        raise wrong_result("model", model, f"{shown(found)} as {name}", expected)
    fits = found.ndim == len(shape) and all(
        size is None or size == got for size, got in zip(shape, found.shape, strict=True)
    )
    if not fits or found.is_floating_point() is whole or found.is_complex():
        got = f"{str(found.dtype).removeprefix('torch.')} {list(found.shape)}"
        raise wrong_result("model", model, f"{got} as {name}", expected)
