"""Networks with weights like trained ones, without training."""

import torch
from fakes import photo
from torch import nn


@torch.no_grad()
def trained_like(module):
    """Gives a segmentation batch-norm weights and statistics far from 0 and 1, and clear predictions."""
    chance = torch.Generator().manual_seed(3)
    layers = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in layers:
        layer.weight.uniform_(0.5, 1.5, generator=chance)
        layer.bias.normal_(std=0.3, generator=chance)
        layer.momentum = None  # the statistics of one pass
        layer.reset_running_stats()
        layer.train()
    picture = photo("statistics", (256, 256))[None]
    module.logits(picture)
    module.eval()
    head = module.network.segmentation_head
    head.weight.normal_(std=0.3, generator=chance)
    head.bias -= module.logits(picture).mean(dim=(0, 2, 3))
    return module
