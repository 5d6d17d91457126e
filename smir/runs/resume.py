"""Chooses the checkpoint that a run goes on from."""

from pathlib import Path

from lightning.pytorch.utilities import rank_zero_warn

from smir.errors import CheckpointError
from smir.runs.checkpoint_record import Checkpoint
from smir.runs.run_folder import DAMAGED, LAST, PREVIOUS


def resume_point(folder: Path) -> Checkpoint | None:
    """Reads the checkpoint to go on from: `last`, or `previous` where `last` is damaged.

    A damaged `last` is moved out of the way: the next epoch would put it in the place of the good `previous`, and a
    kill before the new `last` is there would leave nothing to read.

    Args:
        folder: The folder of the checkpoints, held by this process.

    Returns:
        The checkpoint, or nothing if no epoch was kept.

    Raises:
        CheckpointError: If all that are there are damaged.
    """
    there = [path for path in (folder / LAST, folder / PREVIOUS) if path.is_file()]
    reasons: list[str] = []
    for path in there:
        try:
            checkpoint = Checkpoint.read(path)
        except CheckpointError as error:
            reasons.append(str(error))
            continue
        if reasons:
            there[0].replace(folder / DAMAGED)
            rank_zero_warn(
                f"{reasons[0]} The run goes on from {path.absolute()}, which is of an earlier epoch; the damaged file "
                f"is now {DAMAGED} beside it."
            )
        return checkpoint
    if reasons:
        raise CheckpointError(
            f"No checkpoint of this run can be read: {' '.join(reasons)} Move {folder.absolute()} away to begin anew."
        )
    return None
