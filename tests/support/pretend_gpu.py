"""Pretends to be a GPU: tensors report `cuda` but compute on the CPU, and every wait for the GPU is recorded.

It refuses float64, as Apple's GPUs do."""

import contextlib
import traceback
from pathlib import Path
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torchmetrics import Metric

import smir

GPU = torch.device("cuda:0")
_TO_HOST = ("_local_scalar_dense", "nonzero", "masked_select", "equal")
"""Operations whose answer the program needs, so that it waits until the GPU has done all that it was given."""


class OnGPU(torch.Tensor):
    """A tensor that pretends to lie on a GPU; it holds the one on the CPU that does the work."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, inner.stride(), inner.storage_offset(), dtype=inner.dtype, device=GPU
        )

    def __init__(self, inner):
        self.inner = inner

    def __repr__(self):
        return f"OnGPU({self.inner})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return PretendGPU().compute(func, args, kwargs or {})


class PretendGPU(TorchDispatchMode):
    """Computes with `OnGPU`, refuses to mix it with tensors on the CPU, and lists the lines of smir that wait.

    Attributes:
        waits: The operations that waited, as `operation at file:line`.
    """

    def __init__(self):
        super().__init__()
        self.waits = []
        self._without_driver = contextlib.ExitStack()

    def __enter__(self):
        torch._C._ensureCUDADeviceGuardSet()  # guards without a driver, as for torch.compile's fake tensors
        self._without_driver.enter_context(mock.patch("torch.cuda._lazy_init"))
        self._without_driver.enter_context(torch.backends.cudnn.flags(enabled=False))
        return super().__enter__()

    def __exit__(self, *exception):
        super().__exit__(*exception)
        self._without_driver.close()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return self.compute(func, args, kwargs or {})

    def compute(self, func, args, kwargs):
        """Runs one operation."""
        name = func.overloadpacket.__name__
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        there = [isinstance(tensor, OnGPU) for tensor in tensors]
        wanted = kwargs.get("device")
        goes = there[:1] == [True] if wanted is None else torch.device(wanted).type == "cuda"
        copies = name in ("_to_copy", "copy_")
        if not copies and any(there) and any(t.dim() for t, on_gpu in zip(tensors, there, strict=True) if not on_gpu):
            raise RuntimeError(f"{name} mixes tensors on a GPU and on the CPU, in {_line()}")
        crosses = copies and (goes != there[0] or (name == "copy_" and there[0] != there[1]))
        if (crosses and not (kwargs.get("non_blocking") and goes)) or (name in _TO_HOST and any(there)):
            self.waits.append(f"{name} at {_line()}")
        if wanted is not None:
            kwargs = {**kwargs, "device": "cpu"}
        result = func(*tree_map_only(OnGPU, _inner, args), **tree_map_only(OnGPU, _inner, kwargs))
        if func._schema.name.endswith("_") and isinstance(args[0], OnGPU):
            return args[0]
        if goes and any(t.dtype == torch.float64 for t in tree_leaves(result) if isinstance(t, torch.Tensor)):
            raise TypeError(f"{name} makes a float64, which Apple's GPUs do not have, in {_line()}")
        return tree_map_only(torch.Tensor, OnGPU, result) if goes else result


def _inner(tensor):
    return tensor.inner


def _line():
    own = str(Path(smir.__file__).parent)
    frames = [frame for frame in traceback.extract_stack() if frame.filename.startswith(own)]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "no line of smir"


def to_gpu(module):
    """Moves a module's parameters, buffers and metrics to the pretended GPU, in place."""
    for part in module.modules():
        if isinstance(part, Metric):
            for name in part._defaults:
                setattr(part, name, OnGPU(getattr(part, name)))
        for tensors in (part._parameters, part._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    tensors[name] = OnGPU(tensor.detach())
    return module
