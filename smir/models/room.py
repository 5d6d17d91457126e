"""A bound on the tensors that are made while a network is built from the record of a checkpoint."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_MAKERS = (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.arange, torch.linspace)
_SLACK = 1 << 27
"""Numbers in layers that encoders make and then delete: VGG's classifier has 124 million."""


class RoomFor(TorchFunctionMode):
    """Raises a ValueError, before memory is allocated, if a block makes many more numbers than a state dict has."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        super().__init__()
        self.left = _SLACK + sum(value.numel() for value in state.values() if isinstance(value, torch.Tensor))

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Subtracts the numbers of a new tensor."""
        if func in _MAKERS:
            given = (kwargs or {}).get("size", args[0] if args and isinstance(args[0], Sequence) else args)
            self.left -= math.prod(abs(size) or 1 for size in given if isinstance(size, int))
            if self.left < 0:
                raise ValueError("it describes a network of many more numbers than its weights have")
        return func(*args, **(kwargs or {}))
