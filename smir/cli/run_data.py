"""The data of a finished run: where its images came from, and what `prepare` recorded about them."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from smir.cli.trust import read_yaml
from smir.errors import SmirError
from smir.files.json_record import dict_or_empty
from smir.runs.stored_config import read_sections


def run_of(checkpoint: Path) -> Path | None:
    """Returns the run folder of a checkpoint, if it has a config."""
    run = checkpoint.parent.parent
    return run if checkpoint.parent.name == "checkpoints" and (run / "config.yaml").is_file() else None


def data_of(run: Path) -> dict[str, Any]:
    """Returns the data of a run's config."""
    return read_sections(run / "config.yaml")["data"]


def is_folder(data: dict[str, Any]) -> bool:
    """Returns whether the data of a config are a folder of images."""
    return str(data["class_path"]).rpartition(".")[2] == "Folder"


def source_of(data: dict[str, Any]) -> list[Path]:
    """Returns the images that `prepare folder` was given, before any tiling; for another `Folder`, its images.

    A source that also holds other pictures, such as labels, does not count: the next command must not read them.
    """
    if not is_folder(data):
        return []
    from smir.data.reading.image_files import list_images
    from smir.data.reading.lists import stem
    from smir.prepare.own.tile import TILE_PREFIX

    images = _images(data)
    with suppress(OSError, KeyError, SmirError):
        source = Path(prepared(data)["source"])
        if source.is_file():
            return [source]
        # The tiles of an image lie in a folder of its name.
        parts = [(name, *name.rpartition("/")) for name in list_images(images)]
        made_of = {folder if file.startswith(TILE_PREFIX) else stem(name) for name, folder, _, file in parts}
        if source.is_dir() and set(map(stem, list_images(source))) == made_of:
            return [source]
    return [images]


def photographs(data: dict[str, Any]) -> list[Path]:
    """Returns the images as `source_of` does, but the tiles if the source was tiled."""
    if is_folder(data) and "tile" in prepared(data).get("settings", ()):
        return [_images(data)]
    return source_of(data)


def _images(data: dict[str, Any]) -> Path:
    return Path(data["init_args"]["root"], data["init_args"]["images"])


def prepared(data: dict[str, Any]) -> dict[str, Any]:
    """Returns the record of `prepare folder`; empty if it is missing or unreadable."""
    return dict_or_empty(Path(data["init_args"]["root"]) / "prepared.json")


def field_settings(root: Path) -> dict[str, Any]:
    """Returns the settings in `data.yaml` of a field; empty if the file is missing or has other sections too."""
    file = root / "data.yaml"
    settings = read_yaml(file) if file.is_file() else {}
    return dict(settings["data"]["init_args"]) if set(settings) - {"run"} == {"data"} else {}
