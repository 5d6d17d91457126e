"""Reads weight files without executing anything in them."""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from smir.errors import CheckpointError, first_few
from smir.files.shared_values import expanded_size
from smir.models.pickles import look_through

_ZIP, _BEFORE_ZIP = b"PK\3\4", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_END, _END_64 = 22, 76
"""Bytes of the end record of a zip archive, and of the two records before it in an archive with 64-bit sizes."""
_MOST_VALUES = 1_000_000
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
        beside = f"Its folder holds: {first_few(sorted(entry.name for entry in path.parent.glob('*'))) or 'nothing'}."
        if not path.parent.is_dir():
            beside = "Its folder is missing, too: train the run that it belongs to first, or name another file."
        raise CheckpointError(f"There is no checkpoint {path.absolute()}. {beside}")
    try:
        if not (safe := path.suffix == ".safetensors"):
            _check_sums(path)
        content = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler may raise anything for a damaged file
        if str(error).startswith("DataLoader worker (pid"):  # its end raises wherever Python is, once for each loader
            return read_checkpoint(path)
        reason = str(error).split("\n")[0][:200]
        raise CheckpointError(
            f"{path.absolute()} is not a checkpoint of plain weights, or it is damaged ({reason}). "
            "Only safetensors and files that torch.load(weights_only=True) accepts are read."
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.absolute()} holds a {type(content).__name__}, not a checkpoint or state dict.")
    if expanded_size(content) > _MOST_VALUES:
        raise CheckpointError(
            f"{path.absolute()} holds more than {_MOST_VALUES:,} values, or four times as many letters, once its "
            "shared references are written out; or a circle. No training writes that."
        )
    if (claimed := _stored(content)) > (size := path.stat().st_size):
        raise CheckpointError(
            f"{path.absolute()} claims {claimed:,} bytes of tensors, but has {size:,}. It is not trusted."
        )
    check_format(content, path.absolute())
    return content


def _check_sums(path: Path) -> None:
    """Raises if a checkpoint's checksums are wrong, which torch does not check.

    It also looks through the pickle. Like torch, it recognises an archive by its first bytes. It accepts only what
    torch.save writes: without a comment, and with the directory right before the end, so that all readers of archives
    find the same members.
    """
    with path.open("rb") as file:
        if not file.read(len(_ZIP)).startswith(_ZIP):
            file.seek(0)
            if file.read(len(_BEFORE_ZIP)) != _BEFORE_ZIP:
                raise ValueError("it does not begin like a file of torch")
            file.seek(0)
            for _ in range(5):  # of the form that torch wrote before 1.6, without checksums; the fourth is the content
                look_through(file)
            return
        file.seek(max(0, path.stat().st_size - _END - _END_64))
        tail = file.read()
    end, first = tail[-_END:], path.stat().st_size - _END
    size, start, comment = struct.unpack_from("<IIH", end, 12)
    if tail[-_END - 20 : -_END].startswith(b"PK\6\7"):  # sizes of 64 bits, and the place of their record
        short, (size, start) = (size, start), struct.unpack_from("<QQ", tail, 40)
        first -= _END_64
        same = short == (min(size, (1 << 32) - 1), min(start, (1 << 32) - 1))
        comment |= not same or struct.unpack_from("<Q", tail, 64)[0] != first or not tail.startswith(b"PK\6\6")
    if not end.startswith(b"PK\5\6") or comment or start + size != first:
        raise ValueError("its directory is not where torch puts it")
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type or entry.compress_size != entry.file_size for entry in entries):
            raise ValueError("it is compressed, which torch never does")  # and so is a decompression bomb
        if len({entry.filename.lower() for entry in entries}) < len(entries):  # torch ignores case
            raise ValueError("it holds two members of one name")
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise ValueError("its members overlap")
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"the checksum of {damaged} is wrong")
        for entry in entries:
            if entry.filename.lower().endswith("data.pkl"):
                look_through(io.BytesIO(archive.read(entry)))


def _stored(content: object) -> int:
    """Returns the bytes of all tensors, each storage counted once."""
    seen, open_, found = set[int](), [content], dict[int, int]()
    while open_:
        value = open_.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            open_ += [*value, *value.values()]
        elif isinstance(value, list | tuple):
            open_ += value
        elif isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta:
            found[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
    return sum(found.values())


def weights_in(content: dict[str, Any], path: str | Path) -> dict[str, Any]:
    """Returns what is in the state dict of a checkpoint, or in a plain one, by name.

    Raises:
        CheckpointError: If there is no dict, or a tensor has NaN, infinite numbers, or more numbers than are stored.
    """
    state = content.get("state_dict", None if "smir" in content else content)
    if not isinstance(state, dict):
        raise CheckpointError(f"The state_dict in {path} is a {type(state).__name__}, not a dict of tensors.")
    for name, value in state.items():
        if not is_plain(value):
            continue
        if value.numel() * value.itemsize > value.untyped_storage().nbytes():
            raise CheckpointError(f"{path} stretches the few stored numbers of {name} to {value.numel():,}.")
        if value.is_floating_point() and not value.float().isfinite().all():
            raise CheckpointError(
                f"{path} has NaN or infinite numbers in {name}: a training failed, or the file is damaged. Use another "
                "checkpoint of its run, or train again."
            )
    return state


def is_plain(value: object) -> bool:
    """Returns whether a value is a dense tensor of real numbers."""
    return isinstance(value, Tensor) and value.layout == torch.strided and not (value.is_meta or value.is_complex())


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
    """Refuses a checkpoint that would make Lightning delete files elsewhere: it deletes those that better ones replace.

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
