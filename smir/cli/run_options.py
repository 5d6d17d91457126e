"""The options `--run.*`: where a run is kept, and how it is logged to W&B."""

import dataclasses
from pathlib import Path

from smir.runs.run_folder import IfTaken
from smir.runs.wandb_options import WandbOptions


@dataclasses.dataclass
class RunOptions(WandbOptions):
    """Options of the run folder and of Weights & Biases.

    Attributes:
        experiment: Name of the experiment, such as `demo/selective`; default: the dataset and the task.
        variant: Word for what a run changes of its experiment, such as `labels-5`; it is appended to the name.
        root: Folder of all runs; this one goes to `<root>/<experiment>/seed<k>`.
        if_taken: Where a run of other settings has that folder: `rename` appends a hash to it, `refuse` is an error.
        test: Whether a fit that segments ends with testing its best checkpoint.
        keep_seconds: Seconds between two writes of `last.ckpt`, which a kill may cost, where epochs are shorter; `0`:
            every epoch is kept. The end of a stage always is.
    """

    experiment: str | None = None
    variant: str | None = None
    root: Path = Path("runs")
    if_taken: IfTaken = "rename"
    test: bool = True
    keep_seconds: float = 30.0

    def name(self, default: str = "") -> str:
        """Name of the experiment, with the variant; `default` is that of one without a name."""
        experiment = self.experiment or default
        return f"{experiment}-{self.variant}" if self.variant else experiment

    def folder(self, seed: int) -> Path:
        """Folder of the run of a seed, should no run of other settings have taken it."""
        return self.root / self.name() / f"seed{seed}"
