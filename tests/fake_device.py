"""A device that every machine has: its tensors are copies in the memory of the CPU, and refuse those of the CPU.

A tensor on the device says that it is on ``DEVICE``, torch's own device without memory, but holds numbers, with which
all operations compute. An operation on tensors of both devices raises an error, as on a GPU, and so does a draw on the
device with a generator of the CPU. Copies and tensors without a dimension may cross, as they may on a GPU.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")
CROSSING = {torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default}


class CrossingError(Exception):
    """An operation needs tensors of one device, and got those of two."""


class OnDevice(torch.Tensor):
    """A tensor on the fake device, with its numbers in ``inner``."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> "OnDevice":
        return torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
        )

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})

    def tolist(self) -> Any:
        return self.inner.tolist()

    def __repr__(self) -> str:
        return f"OnDevice({self.inner!r})"


class FakeDevice(TorchDispatchMode):
    """While it is entered, ``.to(DEVICE)`` and ``device=DEVICE`` lead to the fake device.

    Attributes:
        operations: the number of operations on the device.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = computed(func, args, kwargs or {})
        self.operations += any(isinstance(each, OnDevice) for each in tree_flatten(result)[0])
        return result


def _taken_in(each: Any) -> Any:
    """Return a tensor without numbers that ``torch.tensor`` has made on the device, past all modes, as one of ours."""
    if isinstance(each, torch.Tensor) and each.device == DEVICE and not isinstance(each, OnDevice):
        assert not each.numel(), "torch.tensor with numbers and a device cannot be followed"
        return OnDevice(torch.empty(each.shape, dtype=each.dtype))
    return each


def computed(func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """Return the result of an operation, on the device that it belongs to."""
    args, kwargs = tree_map(_taken_in, (args, kwargs))
    given = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, torch.Tensor)]
    there = [each for each in given if isinstance(each, OnDevice)]
    here = [each for each in given if not isinstance(each, OnDevice) and each.dim()]
    if there and here and func not in CROSSING:
        shapes = ", ".join(f"{'device' if isinstance(each, OnDevice) else 'cpu'} {list(each.shape)}" for each in given)
        raise CrossingError(f"{func} got tensors of two devices: {shapes}")
    wanted = kwargs.get("device")
    on_device = bool(there) if wanted is None else torch.device(wanted) == DEVICE
    if func is torch.ops.aten.copy_.default:
        on_device = isinstance(args[0], OnDevice)
    if on_device and kwargs.get("generator") is not None:
        raise CrossingError(f"{func} draws on the device with a generator of the CPU")
    known = {id(each.inner): each for each in there}
    inner_args, inner_kwargs = tree_map(lambda each: each.inner if isinstance(each, OnDevice) else each, (args, kwargs))
    if wanted is not None:
        inner_kwargs["device"] = torch.device("cpu")
    result = func(*inner_args, **inner_kwargs)

    def placed(each: Any) -> Any:
        if not isinstance(each, torch.Tensor) or not on_device:
            return each
        return known[id(each)] if id(each) in known else OnDevice(each)

    return tree_map(placed, result)
