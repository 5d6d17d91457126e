"""Segments a photo with model.pt2 beside this file: `python run_pt2.py photo.jpg labels.png`.

Needs torch, numpy and Pillow alone.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn.functional import interpolate, pad


def segment(network: Any, settings: dict[str, Any], image: Any) -> Any:
    """Class ids (H, W) uint8 of an RGB image (H, W, 3) uint8 of any size."""
    size, multiple, shape = settings["view_size"], settings["multiple"], image.shape[:2]
    height, width = (max(size, round(side * (size / min(shape)))) for side in shape)
    view = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    view = interpolate(view, (height, width), mode="bilinear").round()
    view = pad(view, (0, -width % multiple, 0, -height % multiple), mode="reflect").to(torch.uint8)
    with torch.no_grad():
        logits = network(view)[..., :height, :width]
    return interpolate(logits, shape, mode="bilinear").argmax(1)[0].to(torch.uint8).numpy()


if __name__ == "__main__":
    extra = {"smir.json": ""}
    program = torch.export.load(Path(__file__).with_name("model.pt2"), extra_files=extra)
    about = json.loads(extra["smir.json"])
    photo = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB")
    labels = Image.fromarray(segment(program.module(), about, np.array(photo)))
    labels.putpalette([value for color in about["colors"] for value in color])
    labels.save(sys.argv[2])
