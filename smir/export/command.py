"""`python -m smir export`: a checkpoint as files that run without smir."""

import contextlib
import glob
import os
import shutil
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple, cast, get_args

from jsonargparse.typing import PositiveFloat, PositiveInt

from smir.data import SmirDataModule
from smir.errors import ConfigError, RunError, first_few
from smir.files.atomic import is_alive, refuse_unwritable
from smir.predict.polygons.options import named_formats
from smir.terminal import columns

Format = Literal["weights", "encoder", "onnx", "pt2", "deepness"]


class Exported(NamedTuple):
    """The checkpoint, the folder of the files, and one of the images that they were compared on, if any."""

    checkpoint: Path
    folder: Path
    photo: Path | None


def export(
    ckpt: Path,
    out: Path = Path("exported"),
    formats: list[Format] | str | None = None,
    images: list[Path] | Path | None = None,
    data: SmirDataModule | None = None,
    tolerance: PositiveFloat = 1e-3,
    opset: PositiveInt | None = None,
    resolution: PositiveFloat | None = None,
) -> Exported:
    """Writes a trained network as safetensors, for timm, as ONNX and for torch.export, with a model card and programs.

    `python -m smir export --ckpt runs/field/segment/seed0/checkpoints/best.ckpt --out exported`. ONNX and torch.export
    are compared with PyTorch on real images; if they differ nothing is written. docs/export.md explains every file.

    Args:
        ckpt: A checkpoint of smir.
        out: Folder for the files; a new or an empty one.
        formats: Any of weights, encoder, onnx, pt2 and deepness, with commas between them. Default: all but deepness
            (for QGIS); for a pretraining checkpoint, weights and encoder.
        images: Images to compare on, files or folders: `--images photos`. Default: the test split of the data.
        data: The dataset, if no images are given; `--config` takes it from an experiment. Default: that of the
            checkpoint's own run.
        tolerance: Accepted difference of a logit, as a share of the largest logit.
        opset: Version of ONNX's operators, for a runtime that lacks the newest. Default: that of the installed torch.
        resolution: Centimetres of ground per pixel of the training images, for deepness. Default: that of the
            georeferenced orthomosaic that they were cut from.

    Raises:
        SmirError: If the checkpoint cannot be read, the folder is not empty, a package is missing, or a file does not
            compute what PyTorch computes.
    """
    if out.is_dir() and any(out.iterdir()):
        raise RunError(
            f"The folder {out.absolute()} is not empty: it holds {first_few(sorted(p.name for p in out.iterdir()))}. "
            "Remove it, or give another: --out FOLDER."
        )
    refuse_unwritable(out)
    if images is not None and data is not None:
        raise ConfigError("Give images or a dataset, not both: --images excludes --config and --data.")
    chosen = cast(list[Format], named_formats(formats, get_args(Format))) if isinstance(formats, str) else formats
    if chosen is not None:
        _check_onnx(chosen, opset, resolution)
    from smir.data.reading.decode import read_image
    from smir.export.build import PROGRAMS, WEIGHTS, Export
    from smir.export.images import images_to_check
    from smir.export.trained import read_source

    source = read_source(ckpt)
    if chosen is None:
        chosen = [*WEIGHTS, *(PROGRAMS if source.module.task == "segment" else ())]
        _check_onnx(chosen, opset, resolution)
    if "deepness" in chosen and resolution is None:
        from smir.export.deepness import resolution_of

        resolution = resolution_of(source)
    given = images if isinstance(images, list) else [] if images is None else [images]
    needs_images = source.module.task == "segment" and any(name not in WEIGHTS for name in chosen)
    if given and not needs_images:
        raise ConfigError("--images are for checking models that run (onnx, deepness, pt2); weights alone need none.")
    photos = images_to_check(given, data, source.run) if needs_images else []
    checked = [read_image(photo) for photo in photos]
    with _arriving(out) as folder:
        files = Export(source, checked, tolerance, folder, opset, resolution).write(chosen)
        rows = [[file.path.name, file.size, file.check] for file in files]
    print("\n".join(columns(rows)))
    print(f"Exported: {out.absolute()}, with a model card, README.md")
    return Exported(ckpt, out, photos[0] if photos else None)  # weights are checked without any


@contextlib.contextmanager
def _arriving(out: Path) -> Iterator[Path]:
    """Yields a folder that becomes `out` when the block ends, and is deleted if it fails."""
    out = out.resolve()  # no folder replaces a link
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        for left in out.parent.glob(f".{glob.escape(out.name)}.*.tmp"):  # of exports that were killed
            pid = left.name.split(".")[-2]
            if pid.isdecimal() and not is_alive(pid):
                shutil.rmtree(left, ignore_errors=True)
        folder = out.with_name(f".{out.name}.{os.getpid()}.tmp")
        folder.mkdir()
        try:
            yield folder
            folder.replace(out)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise RunError(f"{out.absolute()} could not be written: {error.strerror or error}.") from error


def _check_onnx(formats: Sequence[Format], opset: int | None, resolution: float | None) -> None:
    """Raises ConfigError if ONNX is wanted and a package for it is not installed, or an option of it does not fit."""
    wanted = "onnx" in formats or "deepness" in formats
    if opset is not None and not wanted:
        raise ConfigError("--opset is for ONNX files: --formats onnx, or deepness.")
    if resolution is not None and "deepness" not in formats:
        raise ConfigError("--resolution is for --formats deepness.")
    if wanted and (missing := [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]):
        raise ConfigError(
            f"ONNX needs {', '.join(missing)}: pip install 'smir[export]'. Or leave it out: --formats weights,"
            "encoder,pt2"
        )
    if opset is not None:
        from smir.export.onnx_file import check_opset

        check_opset(opset)


COMMANDS = export
DATA_OF = "ckpt"
