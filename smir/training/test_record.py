"""The record of a test: metrics, confusion matrices and overlays of the first images."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from smir.errors import CheckpointError
from smir.files.atomic import write_atomically
from smir.files.json_record import write_json
from smir.files.pages.csv_text import csv_text
from smir.files.pages.overlays import overlay_panel
from smir.runs.run_folder import RESULTS
from smir.training.pictures import NUM_PICTURES, save_picture_as
from smir.training.segmentation import SegmentationModule


class TestRecord(Callback):
    """Writes a test's metrics, confusion matrices and first overlays to `test/` in the run folder.

    Args:
        folder: Folder to write to.
        source: Recorded beside the metrics: checkpoint, data, experiment.
    """

    __test__ = False  # not a test class, although pytest would think so from its name

    def __init__(self, folder: Path, source: dict[str, Any]) -> None:
        self.folder, self.source = folder, source

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: dict[str, Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Pictures the first images."""
        if not isinstance(pl_module, SegmentationModule):
            return
        data, index = pl_module.data, int(batch["index"][0])
        if index >= NUM_PICTURES or batch["weight"][0] <= 0:
            return
        image, label = data.labelled("test").read_pair(index)
        prediction = outputs[0].cpu().numpy()
        picture = overlay_panel(data.images("test")[index], image, label, prediction, pl_module.classes)
        save_picture_as(trainer, self.folder / f"overlay-{index}.png", picture)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes `metrics.json`, last, and the confusion matrices."""
        metrics = _as_json(trainer.callback_metrics)  # a collective: it reduces over all ranks
        if metrics.get("test/loss", 0.0) is None:
            raise CheckpointError("The test loss is NaN: the weights are damaged. Use another checkpoint of their run.")
        if not trainer.is_global_zero:
            return
        result: dict[str, Any] = {**self.source, "metrics": metrics}
        if isinstance(pl_module, SegmentationModule):
            result["classes"] = list(pl_module.classes.names)
            for at, counts in pl_module.test_counts.items():
                write_atomically(self.folder / f"confusion-{at}.csv", _table(result["classes"], counts))
        write_json(self.folder / RESULTS["test"], result)


def _table(names: list[str], counts: Tensor) -> str:
    rows = ([name, *row] for name, row in zip(names, counts.tolist(), strict=True))
    return csv_text([["label \\ prediction (pixels)", *names], *rows])


def _as_json(metrics: dict[str, Tensor]) -> dict[str, float | None]:
    """Converts metrics to JSON values; NaN, a class that does not occur, becomes null."""
    return {name: None if torch.isnan(value) else float(value) for name, value in metrics.items()}
