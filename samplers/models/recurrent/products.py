"""Matrix products of layers: the fastest library of the machine, and the precision of values and gradients.

On CPUs, torch computes products of float32 by MKL, which does not use the widest instructions of AMD CPUs. oneDNN,
which torch also includes, takes less than half the time there, and its result for a row does not depend on the number
of rows. oneDNN compiles a product for each number of rows, and caches a thousand of them, of a megabyte each. Since the
number of tokens differs from batch to batch, rows are rounded up with zeros, so that few products are compiled.
``torch.autocast`` lowers the precision of all products; ``products_in`` may lower that of the backward pass alone, so
that likelihoods stay those of float32.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

Precision = Literal["float32", "mixed", "bfloat16"]
"""The precision of matrix products: ``float32``, that of the weights; ``mixed``, float32 for values and bfloat16 for
gradients; ``bfloat16`` for both."""

_precision: ContextVar[Precision] = ContextVar("precision", default="float32")


@contextlib.contextmanager
def products_in(precision: Precision) -> Iterator[None]:
    """Set the precision of the matrix products that are computed inside of this context, and of their gradients."""
    token = _precision.set(precision)
    try:
        yield
    finally:
        _precision.reset(token)


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a device is a processor with instructions for products of bfloat16.

    The answer follows from the instruction set and not from timing, since a resumed run must get the same answer.
    """
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    there = any(bool(getattr(torch.cpu, name, bool)()) for name in asked)
    return device.type == "cpu" and _has_onednn() and there


def rounded_up(n: int) -> int:
    """Return n rounded up by at most an eighth, or to a multiple of 16."""
    step = max(16, 1 << max(0, n.bit_length() - 4))
    return -(-n // step) * step


def _rounded_up(rows: Tensor) -> Tensor:
    """Return rows [n, k] with rows of zeros appended, if products are compiled for each number of rows."""
    n = rows.shape[0]
    more = rounded_up(n) - n
    if not more or not _by_onednn(rows):
        return rows
    made = rows.new_empty(n + more, rows.shape[1])
    made[:n], made[n:] = rows, 0
    return made


@dataclass(frozen=True)
class Precisions:
    """The precisions of the products of a layer.

    Attributes:
        forward: the precision of the products of the forward pass.
        gradient: the precision of the products of the backward pass.
    """

    forward: torch.dtype
    gradient: torch.dtype

    @classmethod
    def of(cls, weight: Tensor) -> Precisions:
        """Return the precisions of a layer with the given weight in the present context."""
        device = weight.device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            lowered = torch.get_autocast_dtype(device)
            return cls(lowered, lowered)
        lowered, precision = torch.bfloat16, _precision.get()
        return cls(
            lowered if precision == "bfloat16" else weight.dtype,
            weight.dtype if precision == "float32" else lowered,
        )


class Product:
    """The repeated product of rows with the same weight, without a gradient.

    Args:
        weight: [out, in].
        bias: [out], added to each row; None adds nothing.
        dtype: the precision of the operands and of the result; None is that of the weight.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, dtype: torch.dtype | None = None) -> None:
        weight = weight.detach().to(dtype or weight.dtype)
        self.dtype = weight.dtype
        self._bias = None if bias is None else bias.detach().to(self.dtype)
        self._transposed = weight.T
        self._reordered = _onednn().reorder(weight.contiguous(), None) if _by_onednn(weight) else None

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the product [n, out] of rows [n, in]."""
        if self._reordered is not None and rows.shape[0]:
            made: Tensor = _onednn().product(rows, self._reordered, self._bias, "none", [], "")
            return made
        return rows @ self._transposed if self._bias is None else torch.addmm(self._bias, rows, self._transposed)


def linear(rows: Tensor, weight: Tensor, bias: Tensor, *, gradient_only: bool = False) -> Tensor:
    """Return the product of rows [n, in] with a weight [out, in], plus a bias [out], in the precision of the bias.

    It is differentiable, as ``torch.nn.functional.linear`` is.

    Args:
        rows: [n, in].
        weight: [out, in].
        bias: [out].
        gradient_only: whether only the gradient is needed; the values are then not computed.
    """
    return _linear(rows, weight, bias, Precisions.of(weight), gradient_only)


def logits_of(rows: Tensor, head: nn.Linear) -> Tensor:
    """Return the logits [n, V] of rows [n, H].

    The product is always in the precision of the weight: it is a small part of a model, and bfloat16 would round a
    logit of 10 by 0.03. The gradient is in the precision of the present context.
    """
    return _linear(rows, head.weight, head.bias, replace(Precisions.of(head.weight), forward=head.weight.dtype), False)


def _linear(rows: Tensor, weight: Tensor, bias: Tensor, precisions: Precisions, gradient_only: bool) -> Tensor:
    made: Tensor = _Linear.apply(rows, weight, bias, precisions, gradient_only)  # type: ignore[no-untyped-call]
    return made


def weight_gradient(by_output: Tensor, rows: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the gradient [out, in] of a weight in the given precision.

    Args:
        by_output: the gradient [n, out] of the products of the weight with rows.
        rows: [n, in]; rows of zeros at the end of both change nothing.
        dtype: the precision of the result.
    """
    by_output, rows = _rounded_up(by_output), _rounded_up(rows)
    if by_output.dtype == torch.float32 and _by_onednn(by_output):
        return Product(rows.T)(by_output.T.contiguous()).to(dtype)
    return (by_output.T @ rows).to(dtype)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, precisions: Precisions, gradient_only: bool
    ) -> Tensor:
        ctx.save_for_backward(rows, weight)
        ctx.gradient = precisions.gradient
        if gradient_only:
            return bias.new_empty(len(rows), len(weight))
        made = Product(weight, bias, precisions.forward)(_rounded_up(rows.to(precisions.forward)))
        return made[: len(rows)].to(bias.dtype)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        rows, weight = ctx.saved_tensors
        by_output = _rounded_up(upstream[0].to(ctx.gradient))
        by_rows = Product(weight.T, dtype=ctx.gradient)(by_output)[: len(rows)].to(rows.dtype)
        by_weight = weight_gradient(by_output, rows.to(ctx.gradient), weight.dtype)
        return by_rows, by_weight, upstream[0].sum(0), None, None


@dataclass(frozen=True)
class _OneDNN:
    """The operators of torch for products by oneDNN, which are those that torch's compiler uses."""

    reorder: Callable[..., Tensor]
    product: Callable[..., Tensor]


def _has_onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def _onednn() -> _OneDNN:
    return _OneDNN(torch.ops.mkldnn._reorder_linear_weight, torch.ops.mkldnn._linear_pointwise)


def _by_onednn(weight: Tensor) -> bool:
    """Return whether oneDNN computes the products with a weight."""
    if weight.device.type != "cpu" or not _has_onednn() or not weight.numel():
        return False
    there = all(hasattr(torch.ops.mkldnn, name) for name in ("_reorder_linear_weight", "_linear_pointwise"))
    return there and (weight.dtype == torch.float32 or (weight.dtype == torch.bfloat16 and has_bfloat16(weight.device)))
