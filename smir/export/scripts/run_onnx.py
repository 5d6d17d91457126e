"""Segments photos with model.onnx beside this file: `python run_onnx.py photo.jpg labels.png`.

With several photos, the labels go to a folder: `python run_onnx.py first.jpg second.jpg labels`.

Needs only onnxruntime, numpy and Pillow.
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


def arguments(words: list[str]) -> dict[Path, Path]:
    """Returns each photo by the PNG for its labels; exits with a reason if a PNG would replace another or a photo."""
    *photos, target = map(Path, words or [""])
    single = len(photos) == 1 and target.suffix.lower() == ".png"
    files = {target if single else target / f"{photo.stem}.png": photo for photo in photos}
    if not photos or not (single or target.is_dir() or not target.suffix):
        sys.exit(
            f"usage: python {Path(__file__).name} photo.jpg labels.png, or PHOTO ... FOLDER (a new one without dots)"
        )
    if len(files) < len(photos):
        sys.exit(f"Of {len(photos)} photos some have the same name; give those one by one, or another FOLDER for each.")
    if replaced := {file.resolve() for file in files} & {photo.resolve() for photo in photos}:
        sys.exit(f"{min(replaced)} is a photo, and its labels would replace it. Give another FOLDER.")
    return files


def read(photo: Path) -> Any:
    """RGB (H, W, 3) uint8 of a photo, upright."""
    with Image.open(photo) as image:
        if image.mode[0] in "IF":  # Pillow would cut its values off at 255
            raise ValueError("it has more than 8 bits a channel. Save it with 8, such as its high bytes")
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def check_size(photo: Path, image: Any, settings: dict[str, Any]) -> None:
    """Warns if a photo is much larger than the training images: resized to a view, its plants vanish."""
    side, usual = min(image.shape[:2]), settings["usual_side"]
    if usual is not None and side >= settings["much_larger"] * usual:
        print(
            f"{photo}: its shortest side of {side} pixels is resized to {settings['view_size']}, that of the training "
            f"images was {usual}: plants become too small to be found. Cut it into tiles of about {usual} pixels, or "
            "give it to `python -m smir predict`, which reads it in windows.",
            file=sys.stderr,
        )


if __name__ == "__main__":
    files = arguments(sys.argv[1:])
    model = onnxruntime.InferenceSession(Path(__file__).with_name("model.onnx"), providers=["CPUExecutionProvider"])
    about = json.loads(model.get_modelmeta().custom_metadata_map["smir"])
    failed = False
    for file, photo in files.items():
        try:
            image = read(photo)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # missing, damaged, or huge
            print(f"{photo}: {error}", file=sys.stderr)
            failed = True
            continue
        check_size(photo, image, about)
        labels = Image.fromarray(segment(model, about, image))
        labels.putpalette([value for color in about["colors"] for value in color])
        file.parent.mkdir(parents=True, exist_ok=True)
        labels.save(file)
    if failed:
        sys.exit(1)
