"""A CUDA device that is not there: tensors in the memory of this machine that keep the rules of another.

Tensors on the pretended device are tagged. As on a real one, an operation on tensors of both devices is refused unless
the one here is a single number or an index, NumPy cannot look at them, random numbers want a generator of the device,
and what CUDA has no kernel for is refused. What is computed is what the processor computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from nidcli.precision import has_bfloat16

CUDA = torch.device("cuda", 0)
CROSSES = ("to", "copy_", "cpu", "cuda", "type")  # these move data from one device to the other
PRODUCTS = ("matmul", "__matmul__", "__rmatmul__", "mm", "mv", "bmm", "dot", "addmm", "addmv", "baddbmm", "linear")
DRAWS = (
    "rand",
    "randn",
    "randint",
    "randperm",
    "normal",
    "normal_",
    "uniform_",
    "bernoulli",
    "bernoulli_",
    "multinomial",
)
HOST_ONLY = ("numpy", "__array__", "histogram", "histogramdd", "pin_memory")


class Pretended(Tensor):
    """A tensor on the pretended device."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _called(func, args, kwargs or {})

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copied = self.detach().clone().requires_grad_(self.requires_grad)
        memo[id(self)] = copied
        return copied


class _Factories(TorchFunctionMode):
    """Sees the calls without a tensor too: those that make one."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _called(func, args, kwargs or {})


def _called(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with torch._C.DisableTorchFunctionSubclass():  # or what is asked here would come here
        return _placed(func, args, kwargs)


def _placed(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if func.__name__ in ("_parse_to", "_has_compatible_shallow_copy_type"):  # these do nothing with a device
        return func(*args, **kwargs)
    owner = getattr(func, "__self__", None)  # of a getter: the property
    name = getattr(owner, "__name__", "") if func.__name__ == "__get__" else func.__name__
    tensors = [leaf for leaf in _leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = any(_is_there(tensor) for tensor in tensors)
    if there and func.__name__ == "__get__" and name in ("device", "is_cuda", "is_cpu"):
        return {"device": CUDA, "is_cuda": True, "is_cpu": False}[name]
    asked = _asked(name, args, kwargs)
    if there:
        _refuse(name, args, tensors)
    goes_there = there if asked is None else asked == "cuda"
    generator = kwargs.get("generator")
    if goes_there and name in DRAWS and generator is not None:
        raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
    to_cpu = lambda leaf: torch.device("cpu") if _is_cuda(leaf) else leaf  # noqa: E731
    args, kwargs = _mapped(to_cpu, args), _mapped(to_cpu, kwargs)
    if name == "cuda":
        func, args, kwargs = Tensor.to, (args[0], "cpu"), {}
    result = func(*args, **kwargs)
    known = {id(tensor) for tensor in tensors}
    moves = name in CROSSES and name != "copy_"

    def placed(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor) or _is_there(leaf) is goes_there:
            return leaf
        if id(leaf) in known:
            return _tagged(leaf.clone(), goes_there) if moves else leaf
        return _tagged(leaf, goes_there)

    return _mapped(placed, result)


def _leaves(tree: Any) -> Iterator[Any]:
    """PyTorch's own trees know more kinds of nodes than arguments have, and take most of the time of small calls."""
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, list | tuple):
        yield tree
        return
    for part in tree:
        yield from _leaves(part)


def _mapped(change: Callable[[Any], Any], tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name: _mapped(change, part) for name, part in tree.items()}
    if not isinstance(tree, list | tuple):
        return change(tree)
    parts = [_mapped(change, part) for part in tree]
    return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)


def _is_there(tensor: Tensor) -> bool:
    return isinstance(tensor, Pretended) or getattr(tensor, "pretended", False)


def _tagged(tensor: Tensor, there: bool) -> Tensor:
    """Sparse tensors have no subclasses: they carry an attribute."""
    if tensor.layout is not torch.strided:
        tensor.pretended = there  # type: ignore[attr-defined]
        return tensor
    return tensor.as_subclass(Pretended if there else Tensor)


def _is_cuda(leaf: Any) -> bool:
    return (isinstance(leaf, torch.device) and leaf.type == "cuda") or (isinstance(leaf, str) and leaf[:4] == "cuda")


def _asked(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """The type of the device that a call names, if it does."""
    if name in ("cuda", "cpu"):
        return name
    named: Iterable[Any] = [kwargs.get("device")]
    if name == "to":
        named = [*named, *args[1:]]
    for leaf in named:
        if isinstance(leaf, Tensor):
            return "cuda" if _is_there(leaf) else "cpu"
        if isinstance(leaf, torch.device) or (isinstance(leaf, str) and leaf[:3] in ("cud", "cpu")):
            return torch.device(leaf).type
    return None


def _refuse(name: str, args: tuple[Any, ...], tensors: list[Tensor]) -> None:
    """RuntimeError, TypeError or NotImplementedError, as CUDA would."""
    if name in HOST_ONLY:
        raise TypeError(f"{name}: can't convert cuda:0 device type tensor")
    if name in PRODUCTS and not all(t.is_floating_point() for t in tensors):
        raise NotImplementedError(f'"{name}_cuda" not implemented for whole numbers')
    if name in CROSSES:
        return
    if name in ("__getitem__", "__setitem__", "index_put_") and _is_there(args[0]):
        tensors = [args[0], *(leaf for leaf in _leaves(args[2:]) if isinstance(leaf, Tensor))]
    here = (t for t in tensors if t.ndim and not _is_there(t))
    if not all(torch._C._functorch.is_functorch_wrapped_tensor(t) for t in here):
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, but found cuda:0 and cpu")


@contextmanager
def pretended_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In here `--device cuda` finds the pretended device."""
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        rough = has_bfloat16(torch.device("cpu"))  # what the one rounds the other rounds too
        patch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: rough)
        patch.setattr(torch.cuda, "synchronize", lambda *_: None)
        autocast = torch.autocast
        patch.setattr(torch, "autocast", lambda _, *given, **flags: autocast("cpu", *given, **flags))
        swapped = torch.__future__.get_swap_module_params_on_conversion()
        torch.__future__.set_swap_module_params_on_conversion(True)
        try:
            with _Factories():
                yield
        finally:
            torch.use_deterministic_algorithms(False)
            torch.__future__.set_swap_module_params_on_conversion(swapped)
