"""Callbacks that write what a user takes away: pictures of training, test results, predicted labels."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from smir.files.atomic import write_atomically
from smir.method.masking import HardestMask
from smir.pages.panels import overlay_panel
from smir.runs.results import RECORDS
from smir.training.reconstruction import ReconstructionModule
from smir.training.reconstruction_panel import reconstruction_panel
from smir.training.run_record import plain, save_picture, save_picture_as
from smir.training.segmentation import SegmentationModule

NUM_PICTURES = 4


class FinalPictures(Callback):
    """Pictures of the last weights on validation images, at the end of training."""

    def __init__(self) -> None:
        self.written = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes `images/final.png`, or one overlay per validation image."""
        self.written = True
        if not trainer.is_global_zero:
            return
        was_training = pl_module.training
        pl_module.eval()
        if isinstance(pl_module, ReconstructionModule):
            self._reconstructions(trainer, pl_module)
        elif isinstance(pl_module, SegmentationModule):
            self._overlays(trainer, pl_module)
        pl_module.train(was_training)

    def _reconstructions(self, trainer: Trainer, module: ReconstructionModule) -> None:
        data, stages = module.data, module.data.stages
        indices = stages.val(stages.current).tolist()
        shape = data.view_shapes(indices[:1])[0]
        alike = [i for i, s in zip(indices[:64], data.view_shapes(indices[:64]), strict=True) if s == shape]
        views = torch.stack([data.view(index) for index in alike[:NUM_PICTURES]]).to(module.device)
        scored = module.score_views(views, alike[:NUM_PICTURES], seed=data.seed, stage=stages.current)
        chosen = HardestMask()(grid=scored.grid, scores=scored.scores)
        save_picture(trainer, "final", reconstruction_panel(data.preprocessing, scored, chosen))

    def _overlays(self, trainer: Trainer, module: SegmentationModule) -> None:
        data = module.data
        for index in range(min(NUM_PICTURES, len(data.images("val")))):
            image, label = data.labelled("val").read_pair(index)
            prediction = module.segment(image).cpu().numpy()
            picture = overlay_panel(data.images("val")[index], image, label, prediction, module.classes)
            save_picture(trainer, f"val-{index}", picture)


class TestRecord(Callback):
    """Writes a test's metrics, confusion matrices and first overlays to `test/` in the run folder.

    Args:
        folder: Where to write.
        source: What is recorded beside the metrics: checkpoint, data, experiment.
    """

    __test__ = False  # no test class, whatever pytest thinks of its name

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
        if not isinstance(pl_module, SegmentationModule) or not trainer.is_global_zero or batch_idx >= NUM_PICTURES:
            return
        data = pl_module.data
        index = int(batch["index"][0])
        image, label = data.labelled("test").read_pair(index)
        prediction = outputs[0].cpu().numpy()
        picture = overlay_panel(data.images("test")[index], image, label, prediction, pl_module.classes)
        save_picture_as(trainer, self.folder / f"overlay-{batch_idx}.png", picture)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes `metrics.json`, last, and the confusion matrices."""
        metrics = plain(trainer.callback_metrics)  # a collective: it reduces over all ranks
        if not trainer.is_global_zero:
            return
        result: dict[str, Any] = {**self.source, "metrics": metrics}
        if isinstance(pl_module, SegmentationModule):
            result["classes"] = list(pl_module.classes.names)
            for at, counts in pl_module.test_counts.items():
                write_atomically(self.folder / f"confusion-{at}.csv", _table(result["classes"], counts))
        write_atomically(self.folder / RECORDS["test"], json.dumps(result, indent=1) + "\n")


def _table(names: list[str], counts: Tensor) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["label \\ prediction (pixels)", *names])
    writer.writerows([name, *row] for name, row in zip(names, counts.tolist(), strict=True))
    return text.getvalue()
