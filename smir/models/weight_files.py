"""Reads weight files without executing anything in them."""

import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from smir.errors import CheckpointError, first_few

FORMAT = 1
"""Version of the record that smir adds to a checkpoint under the key `smir`."""


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a weight file without executing anything in it.

    Args:
        path: A checkpoint of smir or Lightning, or a plain state dict.

    Raises:
        CheckpointError: If the file is missing, damaged, holds more than plain tensors and values, or was written by
            a smir whose format this one does not know.
    """
    path = Path(path)
    if not path.is_file():
        beside = sorted(entry.name for entry in path.parent.glob("*")) if path.parent.is_dir() else []
        raise CheckpointError(
            f"There is no checkpoint {path.absolute()}. Its folder holds: {first_few(beside) or 'nothing'}."
        )
    try:
        _check_sums(path)
        is_plain = path.suffix == ".safetensors"
        content = load_file(path) if is_plain else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler may raise anything for a damaged file
        reason = str(error).split("\n")[0][:200]
        raise CheckpointError(
            f"{path.absolute()} is not a checkpoint of plain weights, or it is damaged ({reason}). "
            "Only safetensors and files that torch.load(weights_only=True) accepts are read."
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.absolute()} holds a {type(content).__name__}, not a checkpoint or state dict.")
    check_format(content, path.absolute())
    return content


def _check_sums(path: Path) -> None:
    """Raises if a checkpoint's checksums are wrong, which torch does not check."""
    if not zipfile.is_zipfile(path):
        return  # of the form that torch wrote before 1.6, without checksums
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("it is compressed, which torch never does")  # and so is a decompression bomb
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"the checksum of {damaged} is wrong")


def check_format(content: dict[str, Any], path: str | Path) -> None:
    """Refuses a checkpoint of smir whose format this version does not know; one without a record passes.

    Raises:
        CheckpointError: If the format differs.
    """
    record = content.get("smir", {"format": FORMAT})
    found = record.get("format") if isinstance(record, dict) else None
    if found != FORMAT:
        raise CheckpointError(
            f"{path} has smir checkpoint format {found}; this version reads format {FORMAT}. "
            "Use the version of smir that wrote it."
        )


def check_paths(content: dict[str, Any], path: str | Path) -> None:
    """Refuses a checkpoint by which Lightning would delete files elsewhere, as those that better ones replace.

    Raises:
        CheckpointError: If a callback's files do not lie in the folder that it names.
    """
    for state in content.get("callbacks", {}).values():
        folder = state.get("dirpath") if isinstance(state, dict) else None
        if not isinstance(folder, str):
            continue
        names = [state.get(f"{which}_model_path") for which in ("best", "kth_best", "last")]
        below = Path(folder).resolve()
        for name in (*names, *state.get("best_k_models", ())):
            if isinstance(name, str) and name and not Path(name).resolve().is_relative_to(below):
                raise CheckpointError(
                    f"{path} names the file {name} outside of its folder {folder}. It is not trusted."
                )
