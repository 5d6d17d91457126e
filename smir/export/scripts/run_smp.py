"""Segments a photo with model.safetensors beside this file: `python run_smp.py photo.jpg labels.png`.

Needs segmentation_models_pytorch and what that brings along.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import torch
from PIL import Image, ImageOps
from safetensors import safe_open
from torch.nn.functional import interpolate, pad


def segment(network: Any, settings: dict[str, Any], image: Any) -> Any:
    """Class ids (H, W) uint8 of an RGB image (H, W, 3) uint8 of any size."""
    size, multiple, shape = settings["view_size"], settings["multiple"], image.shape[:2]
    height, width = (max(size, round(side * (size / min(shape)))) for side in shape)
    mean, std = torch.tensor([settings["mean"], settings["std"]]).view(2, 1, 3, 1, 1) * 255
    view = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    view = interpolate(view, (height, width), mode="bilinear").round()
    view = pad(view, (0, -width % multiple, 0, -height % multiple), mode="reflect")
    with torch.no_grad():
        logits = network((view - mean) / std)[..., :height, :width]
    return interpolate(logits, shape, mode="bilinear").argmax(1)[0].to(torch.uint8).numpy()


if __name__ == "__main__":
    folder = Path(__file__).parent
    with safe_open(folder / "model.safetensors", "pt") as file:
        about = json.loads(file.metadata()["smir"])
    photo = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB")
    labels = Image.fromarray(segment(smp.from_pretrained(str(folder)).eval(), about, np.array(photo)))
    labels.putpalette([value for color in about["colors"] for value in color])
    labels.save(sys.argv[2])
