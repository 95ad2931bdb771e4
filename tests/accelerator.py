"""An accelerator without a GPU: tensors that report another device and compute on the CPU.

What would fail on a GPU fails here too: a tensor left behind on the CPU, a generator of the wrong device.
Every moment at which the host would wait for the device is counted:

- a value is read: `.item()`, `.tolist()`, `bool(tensor)`, `nonzero`, indexing with a mask;
- a copy from or to the device that is not `non_blocking`, indices that lie on the CPU included.

PyTorch registers a device for the whole process: it starts threads, after which the process can no longer
fork and train. So tests call `alone(check, …)`, which runs a function in a process of its own.

The device is made of functions that PyTorch offers for this purpose and calls experimental. They are known to
work with torch 2.15; where they are missing, `alone` skips the test.
"""

from __future__ import annotations

import multiprocessing
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

NAME = "simulated"
_READING = "_linalg_check_errors _local_scalar_dense _unique2 bincount equal masked_select nonzero"
_READING += " repeat_interleave unique_consecutive unique_dim unique_dim_consecutive"
READS = {f"aten::{name}" for name in _READING.split()}
INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}
COPIES = {"aten::_to_copy", "aten::copy_"}


class Waits:
    """Where the host waited, since `counted` began."""

    places: list[str] = []

    @classmethod
    def note(cls, what: str) -> None:
        here = [f for f in traceback.extract_stack() if "/mixlearn/" in f.filename.replace("\\", "/")]
        cls.places.append(f"{what} in {here[-1].filename}:{here[-1].lineno}" if here else what)


@contextmanager
def counted() -> Iterator[list[str]]:
    """The waits of what happens inside."""
    Waits.places = []
    yield Waits.places


class OnDevice(torch.Tensor):
    """A tensor on the device, around the one on the CPU that holds its values."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> OnDevice:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=f"{NAME}:0",
            requires_grad=inner.requires_grad,
        )
        made.inner = inner.detach()
        return made

    def __init__(self, inner: Tensor) -> None: ...

    def __repr__(self) -> str:
        return f"OnDevice({self.inner})"

    def tolist(self) -> Any:
        Waits.note("tolist")
        return self.inner.tolist()

    def numpy(self, *_: Any) -> Any:
        raise TypeError(f"can't convert {NAME}:0 device type tensor to numpy; use Tensor.cpu() first")

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func.overloadpacket._qualified_op_name
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        here = any(isinstance(tensor, cls) for tensor in tensors)
        asked = kwargs.get("device")
        there = here if asked is None else _is_ours(asked)
        if name in COPIES:
            return _copied(func, name, args, kwargs, there)
        away = [t for t in tensors if not isinstance(t, cls) and t.dim()] if here else []
        if name in INDEXING:
            for index in args[1]:
                if index is not None and not isinstance(index, cls) and here:
                    Waits.note("index on the CPU")
                one_value = name != "aten::index" and args[2].numel() == 1
                if index is not None and index.dtype in (torch.bool, torch.uint8) and not one_value:
                    Waits.note("index by a mask")
        elif away:
            shapes = [tuple(tensor.shape) for tensor in away]
            raise RuntimeError(
                f"Expected all tensors to be on the same device, {name} got {NAME} and cpu {shapes}"
            )
        if name in READS:
            Waits.note(name)
        if there and isinstance(kwargs.get("generator"), torch.Generator):
            raise RuntimeError(f"Expected a '{NAME}' device type for generator but found 'cpu' in {name}")
        if asked is not None:
            kwargs["device"] = "cpu"
        found = func(*tree_map(_inner, args), **tree_map(_inner, kwargs))
        if not there:
            return found
        wrapped = tree_map(lambda leaf: cls(leaf) if isinstance(leaf, Tensor) else leaf, found)
        return _written(func, args, kwargs, wrapped) if func._schema.is_mutable else wrapped


def _copied(func: Any, name: str, args: Any, kwargs: Any, there: bool) -> Any:
    """A copy within the device, or from or to it; the latter two wait unless they are told not to."""
    if name == "aten::copy_":
        target, source, background = args[0], args[1], args[2] if len(args) > 2 else False
        if isinstance(target, OnDevice) != isinstance(source, OnDevice) and not background:
            Waits.note("blocking copy")
        _inner(target).copy_(_inner(source))
        return target
    if isinstance(args[0], OnDevice) != there and not kwargs.get("non_blocking"):
        Waits.note("blocking copy")
    found = func(_inner(args[0]), **{**kwargs, "device": "cpu"})
    return OnDevice(found) if there else found


def _written(func: Any, args: Any, kwargs: Any, found: Any) -> Any:
    """What a call returns that writes into its arguments: those themselves."""
    given = {}
    for i, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            key = tuple(sorted(argument.alias_info.before_set))
            given[key] = args[i] if i < len(args) else kwargs.get(argument.name)
    several = isinstance(found, (tuple, list))
    back = []
    for result, value in zip(func._schema.returns, found if several else (found,), strict=False):
        key = tuple(sorted(result.alias_info.before_set)) if result.alias_info is not None else None
        back.append(given.get(key, value) if key else value)
    return type(found)(back) if several else (back[0] if back else None)


class Device(TorchDispatchMode):
    """Inside it, `torch.zeros(…, device="simulated")` and `tensor.to("simulated")` work."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        ours = any(isinstance(leaf, OnDevice) for leaf in tree_leaves((args, kwargs)))
        if ours or _is_ours(kwargs.get("device")):
            return OnDevice.__torch_dispatch__(func, types, args, kwargs)
        return func(*args, **kwargs)


def on_device(values: Any) -> Any:
    """Tensors, or whatever holds them, on the device; a module is moved in place, once."""
    if isinstance(values, nn.Module):
        for part in values.modules():
            for key, weight in part._parameters.items():
                if weight is not None and not isinstance(weight.data, OnDevice):
                    moved = OnDevice(weight.detach().clone())
                    part._parameters[key] = nn.Parameter(moved, requires_grad=weight.requires_grad)
            for key, buffer in part._buffers.items():
                if buffer is not None and not isinstance(buffer, OnDevice):
                    part._buffers[key] = OnDevice(buffer.clone())
        return values
    return tree_map(lambda leaf: OnDevice(leaf.clone()) if isinstance(leaf, Tensor) else leaf, values)


def on_cpu(values: Any) -> Any:
    """The same on the CPU, for a comparison; no wait is counted."""
    return tree_map(_inner, values)


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, OnDevice) else value


def _is_ours(device: Any) -> bool:
    return device is not None and torch.device(device).type == NAME


def register() -> None:
    """Make the device known to torch, in this process, for good."""
    from torch.utils import backend_registration

    class Module(backend_registration._DummyBackendModule):  # type: ignore[name-defined,misc]
        def get_amp_supported_dtype(self) -> list[torch.dtype]:
            return [torch.float16, torch.bfloat16]

        def get_rng_state(self, *_: Any) -> Tensor:
            return torch.get_rng_state()

        def set_rng_state(self, state: Tensor, *_: Any) -> None:
            torch.set_rng_state(state)

    def empty(size: Any, dtype: Any = None, *_: Any, memory_format: Any = None, **__: Any) -> Tensor:
        return OnDevice(
            torch.empty(size, dtype=dtype, memory_format=memory_format or torch.contiguous_format)
        )

    def empty_strided(size: Any, stride: Any, dtype: Any = None, *_: Any, **__: Any) -> Tensor:
        return OnDevice(torch.empty_strided(size, stride, dtype=dtype))

    def copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
        if not non_blocking and isinstance(source, OnDevice) != isinstance(target, OnDevice):
            Waits.note("blocking copy")
        _inner(target).copy_(_inner(source))
        return target

    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=Module())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, function in (
            ("empty.memory_format", empty),
            ("empty_strided", empty_strided),
            ("_copy_from", copy_from),
        ):
            _library().impl(name, function, "PrivateUse1")
    torch.set_num_threads(1)


@cache
def _library() -> torch.library.Library:
    return torch.library.Library("aten", "IMPL")


@cache
def _worker() -> ProcessPoolExecutor:
    started = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=started, initializer=register)


def alone(check: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function of a module in the process that has the device; what it raises is raised here.

    Args:
        check: the function. arguments: what it is given.
    """
    try:
        from torch.utils.backend_registration import _setup_privateuseone_for_python_backend  # noqa: F401
    except ImportError:
        pytest.skip(f"torch {torch.__version__} cannot register a device from Python; 2.15 can")
    return _worker().submit(_seeded, check, *arguments).result()


def _seeded(check: Callable[..., Any], *arguments: Any) -> Any:
    torch.manual_seed(0)
    with Device():
        return check(*arguments)
