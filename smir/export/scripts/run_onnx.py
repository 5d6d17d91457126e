"""Segments a photo with model.onnx beside this file: `python run_onnx.py photo.jpg labels.png`.

Needs onnxruntime, numpy and Pillow alone.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def resized(array: Any, height: int, width: int) -> Any:
    """Resizes the last two axes, bilinear without antialiasing, as the network was trained and tested with."""
    for axis, size in ((-2, height), (-1, width)):
        last = array.shape[axis] - 1
        place = np.clip((np.arange(size, dtype=np.float32) + 0.5) * ((last + 1) / size) - 0.5, 0, last)
        low = place.astype(int)
        share = (place - low).reshape(-1, *[1] * (-1 - axis))
        array = array.take(low, axis) * (1 - share) + array.take(np.minimum(low + 1, last), axis) * share
    return array


def segment(session: Any, settings: dict[str, Any], image: Any) -> Any:
    """Class ids (H, W) uint8 of an RGB image (H, W, 3) uint8 of any size."""
    size, multiple, shape = settings["view_size"], settings["multiple"], image.shape[:2]
    height, width = (max(size, round(side * (size / min(shape)))) for side in shape)
    view = resized(image.transpose(2, 0, 1).astype(np.float32), height, width).round().astype(np.uint8)
    view = np.pad(view, ((0, 0), (0, -height % multiple), (0, -width % multiple)), mode="reflect")
    (logits,) = session.run(["logits"], {"image": view[None]})
    return resized(logits[0, :, :height, :width], *shape).argmax(0).astype(np.uint8)


if __name__ == "__main__":
    model = onnxruntime.InferenceSession(Path(__file__).with_name("model.onnx"), providers=["CPUExecutionProvider"])
    about = json.loads(model.get_modelmeta().custom_metadata_map["smir"])
    photo = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB")
    labels = Image.fromarray(segment(model, about, np.asarray(photo)))
    labels.putpalette([value for color in about["colors"] for value in color])
    labels.save(sys.argv[2])
