"""The pipeline of `python -m smir prepare folder`."""

import contextlib
import shutil

from smir.prepare.alone import alone
from smir.prepare.own.field import IMAGES, MASKS, NEW_MASKS, Field
from smir.prepare.own.label import label
from smir.prepare.own.options import RECORD, Options
from smir.prepare.own.read import read
from smir.prepare.own.split import split
from smir.prepare.own.tile import tile
from smir.prepare.own.write import write


def prepare(options: Options) -> list[str]:
    """Makes or completes the dataset, and returns the lines of the report.

    Raises:
        SmirError: If the folder holds other files, or images and labels cannot be used.
    """
    new = not options.root.exists()
    try:
        field = read(options)
    except BaseException:
        if new and not (options.root / IMAGES).exists():  # nothing is made yet but the settings of this command
            (options.root / RECORD).with_suffix(".partial.json").unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                options.root.rmdir()
        raise
    if field.record is not None and field.is_complete:
        return [*field.record["lines"], "Everything was there already; nothing has changed."]
    try:
        with alone(field.root):
            return _completed(field, new)
    except BaseException:
        with contextlib.suppress(OSError):  # it is not empty
            field.root.rmdir()
        raise


def _completed(field: Field, new: bool) -> list[str]:
    """Makes what is missing. A `new` folder of links that cannot be completed is emptied: photographs may change."""
    try:
        return write(split(label(tile(field))))
    except BaseException:
        shutil.rmtree(field.root / NEW_MASKS, ignore_errors=True)
        if new and field.only_links and not (field.root / RECORD).exists():
            for folder in (IMAGES, MASKS):
                shutil.rmtree(field.root / folder, ignore_errors=True)
            for file in field.root.glob("[!.]*.*"):
                file.unlink()
        raise
