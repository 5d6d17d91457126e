"""Networks: two families of them, pretrained weights into them, and the IoU of what they predict.

Uses `method` and below.
"""

from smir.models.networks import Network, SmpNetwork, UNetStride4, build_network
from smir.models.weights import LoadReport, load_pretrained

__all__ = ["LoadReport", "Network", "SmpNetwork", "UNetStride4", "build_network", "load_pretrained"]
