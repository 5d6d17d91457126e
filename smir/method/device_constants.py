"""Constant tensors, made once per device: copying one to a GPU at every step would wait for all its work."""

import torch
from torch import Tensor


def constant(values: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Copies values to a device, as a tensor that training can use even if this runs under `inference_mode`."""
    with torch.inference_mode(False):
        return torch.tensor(values.numpy()).to(dtype).to(device)  # not every device has float64
