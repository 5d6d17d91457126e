"""Recognises the format of labels by their content, and reads them."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from smir.data.reading.image_files import ARCHIVES, IMAGE_SUFFIXES, OTHER_PICTURES, linked_folders, list_images
from smir.data.reading.lists import stem
from smir.data.reading.misplaced import look
from smir.data.reading.parallel import in_parallel
from smir.errors import DataError, counted, first_few
from smir.files.json_record import read_json
from smir.files.names import composed
from smir.prepare.labels import coco, cvat, foreign, labelme
from smir.prepare.labels.color_lists import read_color_list
from smir.prepare.labels.masks import COLOR_LIST, MaskFiles, read_masks
from smir.prepare.labels.matching import Pair
from smir.prepare.labels.panoptic import Segments
from smir.prepare.labels.shapes import LARGEST, Annotations
from smir.terminal import warn

KNOWN = f"label images (PNG), {coco.TITLE}, {labelme.TITLE}, or {cvat.TITLE}"
_PHOTOGRAPHS = (".jpg", ".jpeg")
_ANNOTATIONS = (".json", ".xml")
_UNPACK = "an archive. Unpack it, and give the folder."
_NOT_TEXT = {
    **dict.fromkeys((b"PK", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ"), _UNPACK),
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself: git lfs pull.",
}
"""Files that bear the name of an annotation file, by their first bytes."""
_BEFORE_XML = b"\xef\xbb\xbf\xfe\xff\0 \t\r\n"
_BRUSH = re.compile(r"task-\d+-annotation-\d+-by-.*")
_CVAT_MASKS = "SegmentationClass"


def read_labels(path: Path, given: Sequence[str] | None = None, pair: Pair | None = None) -> Annotations | MaskFiles:
    """Reads labels of any known format.

    Args:
        path: A file, or a folder of files.
        given: `--classes`; if it names colours, palettes are read as colours.
        pair: `--pair`; label images whose names do not fit are left out.

    Raises:
        DataError: If the format is unknown, there are two formats, or a file is damaged.
    """
    if path.is_file():
        return _read_file(path)
    if color_lists := _color_lists(path):
        names = list_images(path)
        masks = [name for name in names if _CVAT_MASKS in PurePosixPath(name).parts]
        return read_masks(path, _fitting(masks or names, pair, path), _joined(color_lists), given)
    if outside := linked_folders(path):
        warn(
            f"Links to folders are not followed, so labels behind {len(outside)} of them in {path.absolute()} are not "
            f"read: {first_few(outside)}. Give the folder itself, or link the files."
        )
    files = _visible_files(path)
    annotations = {file: _read_annotations(file, path) for file in files if _is_annotation(file)}
    read = [found for found in annotations.values() if found is not None]
    archives = [file.name for file in files if file.suffix.lower() in ARCHIVES]
    if read and (others := [*(file.name for file, found in annotations.items() if found is None), *archives]):
        warn(
            f"Some files in {path.absolute()} are not read: {first_few(others)}. Archives that hold labels must be "
            "unpacked."
        )
    titles = list(dict.fromkeys(found.title for found in read))
    if len(titles) > 1:
        raise DataError(
            f"{path.absolute()} holds labels in {len(titles)} formats: {', '.join(titles)}. Use only one of them. "
            "To join them, prepare each with a --root of its own and the same --classes; put the files of both folders "
            "ROOT/masks into one, and give that as --labels with --classes '[background=0, CLASS=1, ...]'."
        )
    if titles:
        whole = Annotations(titles[0])
        for found in read:
            whole.add(found)
        _refuse_masks_beside(whole, path, files)
        return whole
    if any(file.suffix.lower() in IMAGE_SUFFIXES for file in files):
        return _read_masks(path, files, given, pair)
    there = sorted(entry.name for entry in path.iterdir())
    raise DataError(
        f"{path.absolute()} holds no labels of a known format: {KNOWN}. It holds {first_few(there) or 'nothing'}."
        f"{' Unpack the archive.' * bool(archives)}{_convert(there)}{foreign.hints(files)}"
    )


def _convert(names: Sequence[str]) -> str:
    pictures = [name for name in names if name.lower().endswith(OTHER_PICTURES)]
    return f" If files such as {pictures[0]} are label images, convert them to PNG." if pictures else ""


def _visible_files(folder: Path) -> list[Path]:
    """Returns the files below a folder, sorted; hidden folders hold copies, such as the checkpoints of Jupyter."""
    files = (file for file in folder.rglob("*") if file.is_file() or file.is_symlink())
    return sorted(file for file in files if not any(part[0] == "." for part in file.relative_to(folder).parts))


def _is_annotation(file: Path) -> bool:
    return file.suffix.lower() in _ANNOTATIONS and file.is_file()


def _refuse_masks_beside(found: Annotations, folder: Path, files: Sequence[Path]) -> None:
    """Refuses label images of further photographs, and names those in colours, which may be photographs."""
    if any(isinstance(drawn.shape, Segments) for image in found.images for drawn in image.shapes):
        return  # a panoptic JSON names its PNGs
    named = {_own_name(image.image) for image in found.images}
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()]
    others = [file for file in images if _own_name(file.name) not in named]
    looks = zip(others, in_parallel(look, others, "Images"), strict=True)
    flat = [(file.name, seen.grey) for file, seen in looks if seen.flat]
    if masks := [name for name, grey in flat if grey]:
        raise DataError(
            f"{folder.absolute()} holds labels in 2 formats: {found.title}, and "
            f"{counted(len(masks), 'label image', 'label images')} of one channel that it does not name: "
            f"{first_few(masks)}. Use only one of them, or move these elsewhere."
        )
    if flat:
        warn(
            f"{folder.absolute()} holds {counted(len(flat), 'image', 'images')} of few colours that {found.title} does "
            f"not name, so not read: {first_few(name for name, _ in flat)}. If these are labels, use only one format."
        )


def _own_name(name: str) -> str:
    return stem(PurePosixPath(composed(name).replace("\\", "/")).name)


def _read_file(path: Path) -> Annotations | MaskFiles:
    if path.suffix.lower() in ARCHIVES:
        raise DataError(f"{path.absolute()} is {_UNPACK}")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise DataError(
            f"{path.absolute()} is one label image, which fits an orthomosaic of its size. For a folder of images give "
            "the folder of their label images."
        )
    if (found := _read_annotations(path, path.parent)) is None:
        raise DataError(f"{path.absolute()} has no known format: {KNOWN}.{foreign.hints([path])}")
    return found


def _fitting(names: Sequence[str], pair: Pair | None, folder: Path) -> list[str]:
    """Returns the label images, by `--pair` if it is given."""
    if pair is None or (fitting := pair.labels_among(names)):
        return list(names if pair is None else fitting)
    raise DataError(f"No label in {folder.absolute()} has a name as --pair {pair.text!r} says: {first_few(names)}.")


def _read_masks(folder: Path, files: Sequence[Path], given: Sequence[str] | None, pair: Pair | None) -> MaskFiles:
    names = _fitting(list_images(folder), pair, folder)
    if brushes := [name for name in names if _BRUSH.fullmatch(PurePosixPath(name).name)]:
        raise DataError(
            f"{folder.absolute()} holds PNGs of Label Studio's brush ({first_few(brushes)}), one for each label, and "
            "their names do not say which image they belong to. Export 'Brush labels to COCO' instead."
        )
    try:
        return read_masks(folder, names, {}, given)
    except DataError as error:
        hints = ""
        photographs = [name for name in names if name.lower().endswith(_PHOTOGRAPHS)]
        if len(photographs) in range(1, len(names)):
            hints += f" Label images need a separate folder, without photographs such as {photographs[0]}."
        if names and len(photographs) == len(names):
            hints += " If these are photographs, --labels names the wrong folder."
        if others := list(filter(_is_annotation, files)):
            hints += (
                f" {counted(len(others), 'file has', 'files have')} no known format, such as {others[0].name}: {KNOWN}."
            )
        hints += foreign.hints(files)
        if not hints:
            raise
        raise DataError(f"{error}{hints}") from error


def _color_lists(folder: Path) -> list[Path]:
    """Returns CVAT's lists of colours, one for each export in the folder."""
    beside = folder.parent / COLOR_LIST
    if folder.name == _CVAT_MASKS and beside.is_file():
        return [beside]
    return sorted(filter(Path.is_file, folder.rglob(COLOR_LIST)))


def _joined(color_lists: Sequence[Path]) -> dict[str, str]:
    colors: dict[str, str] = {}
    for path in color_lists:
        for color, name in read_color_list(path).items():
            if colors.setdefault(color, name) != name:
                raise DataError(
                    f"{path} gives the colour {color} to {name!r}, but another export gives it to {colors[color]!r}. "
                    "Export both tasks with the same labels and colours."
                )
    return colors


def _read_annotations(path: Path, folder: Path) -> Annotations | None:
    """Reads an annotation file; returns None if it has another format."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if what := next((what for magic, what in _NOT_TEXT.items() if start.startswith(magic)), None):
        raise DataError(f"{path.absolute()} is {what}")
    start = start.translate(None, _BEFORE_XML)
    if start.startswith(b"<"):
        return cvat.read_cvat(path)
    if path.suffix.lower() not in _ANNOTATIONS and not start.startswith((b"{", b"[")):
        return None
    content = read_json(path, "Export it again.", DataError, largest=LARGEST)
    return coco.read_coco(path, content, folder) or labelme.read_labelme(path, content, folder)
