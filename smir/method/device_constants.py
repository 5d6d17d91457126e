"""Constant tensors that are made once and stay on their device.

To copy one to a GPU at every use would make the program wait, at every step, until the GPU has done all it was given.
"""

import torch
from torch import Tensor


def constant(values: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Copies values that may have been made under `inference_mode`, whose tensors a later training cannot use."""
    with torch.inference_mode(False):
        return torch.tensor(values.numpy()).to(device, dtype)
