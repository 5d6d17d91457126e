"""Segments photos with model.safetensors beside this file: `python run_smp.py photo.jpg labels.png`.

With several photos, the labels go to a folder: `python run_smp.py first.jpg second.jpg labels`.

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
from torch.nn.functional import interpolate


def segment(network: Any, settings: dict[str, Any], image: Any) -> Any:
    """Class ids (H, W) uint8 of an RGB image (H, W, 3) uint8 of any size."""
    size, multiple, shape = settings["view_size"], settings["multiple"], image.shape[:2]
    height, width = (max(size, round(side * (size / min(shape)))) for side in shape)
    mean, std = torch.tensor([settings["mean"], settings["std"]]).view(2, 1, 3, 1, 1) * 255
    view = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    view = interpolate(view, (height, width), mode="bilinear").round()
    sides = ((0, 0), (0, 0), (0, -height % multiple), (0, -width % multiple))
    view = torch.from_numpy(np.pad(view.numpy(), sides, mode="reflect"))
    with torch.no_grad():
        logits = network((view - mean) / std)[..., :height, :width]
    return interpolate(logits, shape, mode="bilinear").argmax(1)[0].to(torch.uint8).numpy()


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
        return np.array(ImageOps.exif_transpose(image).convert("RGB"))


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
    folder = Path(__file__).parent
    with safe_open(folder / "model.safetensors", "pt") as weights:
        about = json.loads(weights.metadata()["smir"])
    network = smp.from_pretrained(str(folder)).eval()
    failed = False
    for file, photo in files.items():
        try:
            image = read(photo)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # missing, damaged, or huge
            print(f"{photo}: {error}", file=sys.stderr)
            failed = True
            continue
        check_size(photo, image, about)
        labels = Image.fromarray(segment(network, about, image))
        labels.putpalette([value for color in about["colors"] for value in color])
        file.parent.mkdir(parents=True, exist_ok=True)
        labels.save(file)
    if failed:
        sys.exit(1)
