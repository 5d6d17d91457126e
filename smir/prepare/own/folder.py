"""Makes a dataset of someone's own images: what `python -m smir prepare folder` does."""

import shutil

from smir.prepare.own.field import NEW_MASKS
from smir.prepare.own.label import label
from smir.prepare.own.options import Options
from smir.prepare.own.read import read
from smir.prepare.own.split import split
from smir.prepare.own.tile import tile
from smir.prepare.own.write import write


def prepare(options: Options) -> list[str]:
    """Makes the dataset, or what is missing of it.

    Returns:
        The report, a line each.

    Raises:
        SmirError: If the folder holds other things, or images and labels cannot be used.
    """
    field = read(options)
    if field.record is not None and field.is_complete:
        return [*field.record["lines"], "All of this was there already; nothing has changed."]
    try:
        field = tile(field)
        field = label(field)
        field = split(field)
        return write(field)
    except BaseException:
        shutil.rmtree(field.root / NEW_MASKS, ignore_errors=True)
        raise
