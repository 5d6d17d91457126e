"""Lines for the user while progress bars are on the screen."""

import sys

from lightning.pytorch.utilities import rank_zero_info
from tqdm import tqdm


def say(text: str) -> None:
    """Logs a line on rank 0, above the progress bars instead of into them."""
    with tqdm.external_write_mode(file=sys.stderr):
        rank_zero_info(text)
