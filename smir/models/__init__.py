"""Two families of networks, the loading of pretrained weights, and the IoU of predictions.

Uses `method` and below.
"""

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def _without(library: str) -> Iterator[None]:
    """Makes an import treat a library that is not loaded yet as if it were not installed."""
    if hidden := library not in sys.modules:
        sys.modules[library] = None  # type: ignore[assignment]  # the import system's own mark
    try:
        yield
    finally:
        if hidden:
            del sys.modules[library]


with _without("wandb"):  # timm imports it, which takes a second, for a logger that smir does not use
    from smir.models.networks import Network, SmpNetwork, UNetStride4, build_network
    from smir.models.weights import LoadReport, load_pretrained

__all__ = ["LoadReport", "Network", "SmpNetwork", "UNetStride4", "build_network", "load_pretrained"]
