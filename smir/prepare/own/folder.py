"""The pipeline of `python -m smir prepare folder`."""

import shutil

from smir.prepare.alone import alone
from smir.prepare.own.field import NEW_MASKS
from smir.prepare.own.label import label
from smir.prepare.own.options import Options
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
        if new:  # nothing is made yet but the settings of this command
            shutil.rmtree(options.root, ignore_errors=True)
        raise
    if field.record is not None and field.is_complete:
        return [*field.record["lines"], "Everything was there already; nothing has changed."]
    with alone(field.root):
        try:
            return write(split(label(tile(field))))
        except BaseException:
            shutil.rmtree(field.root / NEW_MASKS, ignore_errors=True)
            raise
