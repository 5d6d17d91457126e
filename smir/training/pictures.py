"""Pictures of a training: reconstructions with their scores and masks, and predicted labels over images."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from smir.classes import UInt8
from smir.files.pages.overlays import heat_map, overlay_panel, panel
from smir.files.pictures import write_png
from smir.method.masking import MaskPolicy, fixed_mask
from smir.method.preprocessing import Preprocessing
from smir.method.scoring import Scored, evaluating
from smir.training.reconstruction import ReconstructionModule
from smir.training.run_record import all_callbacks, run_folder
from smir.training.segmentation import SegmentationModule

if TYPE_CHECKING:
    from smir.training.selective_masking import SelectiveMasking  # it writes pictures, too

NUM_PICTURES = 4


class FinalPictures(Callback):
    """Writes pictures of validation images at the end of training."""

    def __init__(self) -> None:
        self.written = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes `images/final.png`, or one overlay for each of a few validation images."""
        self.written = True
        if not trainer.is_global_zero:
            return
        with evaluating(pl_module):
            if isinstance(pl_module, ReconstructionModule):
                self._reconstructions(trainer, pl_module)
            elif isinstance(pl_module, SegmentationModule):
                self._overlays(trainer, pl_module)

    def _reconstructions(self, trainer: Trainer, module: ReconstructionModule) -> None:
        data, stages = module.data, module.data.stages
        first = stages.val(stages.current).tolist()[:64]
        shapes = data.view_shapes(first)
        keys = [index for index, shape in zip(first, shapes, strict=True) if shape == shapes[0]][:NUM_PICTURES]
        views = torch.stack([data.view(index) for index in keys]).to(module.device)
        staged = _staged(trainer)
        if staged is None:
            scored = module.score_views(views, keys, seed=data.seed, stage=stages.current)
        else:
            scored = staged.score_batch(module, views, keys, stages.current)
        # It masks the images of the last stage: the policy of the stages, or the random masks of every visit.
        policy = data.mask if staged is None or staged.policy is None or stages.masks is None else staged.policy
        masks = policy_masks(policy, scored, keys, data.seed, stages.current)
        name = "chosen mask" if policy.needs_scores else "random mask"
        save_picture(trainer, "final", reconstruction_panel(data.preprocessing, scored, name, masks))

    def _overlays(self, trainer: Trainer, module: SegmentationModule) -> None:
        data, trained_on = module.data, module.data.trained_val_images()
        for index in range(min(NUM_PICTURES, len(data.images("val")))):
            image, label = data.labelled("val").read_pair(index)
            prediction = module.segment(image).cpu().numpy()
            name = data.images("val")[index]
            name += " (trained on)" if name in trained_on else ""
            picture = overlay_panel(name, image, label, prediction, module.classes)
            save_picture(trainer, f"val-{index}", picture)


def _staged(trainer: Trainer) -> "SelectiveMasking | None":
    from smir.training.selective_masking import SelectiveMasking

    return next((callback for callback in all_callbacks(trainer) if isinstance(callback, SelectiveMasking)), None)


def policy_masks(policy: MaskPolicy, scored: Scored, keys: Sequence[int], seed: int, stage: int) -> Tensor:
    """Returns a policy's mask for every view with a key, BoolTensor (B, P)."""
    pairs = zip(scored.scores.cpu(), keys, strict=False)
    masks: list[Tensor] = [fixed_mask(policy, scored.grid, score, seed, stage, key) for score, key in pairs]
    return torch.stack(masks)


def reconstruction_panel(preprocessing: Preprocessing, scored: Scored, name: str, masks: Tensor) -> UInt8:
    """Shows input, masked input, reconstruction, heat map of the patch loss, and another mask, side by side.

    Args:
        preprocessing: Turns normalised images back into colours.
        scored: Scores of B or more views.
        name: Kind of the masks: chosen by the scores, or random.
        masks: BoolTensor (B, P), the masks; the picture has a row for each.
    """
    count = len(masks)
    image = scored.image[:count]
    hidden = scored.grid.to_pixels(masks.to(image.device))[:, None]
    heat = [
        heat_map(scored.grid.to_pixels(score.cpu()).numpy(), *map(float, score.aminmax()))
        for score in scored.scores[:count]
    ]
    columns = {
        "input": colors(preprocessing, image),
        "masked input": colors(preprocessing, image * ~scored.mask[:count]),
        "reconstruction": colors(preprocessing, scored.reconstruction[:count]),
        "loss (bright = high)": heat,
        name: colors(preprocessing, image * ~hidden),
    }
    return panel(columns)


def colors(preprocessing: Preprocessing, image: Tensor) -> list[UInt8]:
    """Turns normalised images (B, 3, H, W) back into RGB pictures (H, W, 3)."""
    return list(preprocessing.denormalize(image.float()).permute(0, 2, 3, 1).cpu().numpy())


def save_picture(trainer: Trainer, name: str, picture: UInt8) -> None:
    """Writes an RGB picture to `<run>/images/<name>.png`, and to every logger that takes images."""
    save_picture_as(trainer, run_folder(trainer) / "images" / f"{name}.png", picture)


def save_picture_as(trainer: Trainer, path: Path, picture: UInt8) -> None:
    """Writes an RGB picture to a file, and to every logger that takes images."""
    write_png(path, picture)
    for logger in trainer.loggers:
        if hasattr(logger, "log_image"):
            name = f"{path.parent.name}/{path.stem}"
            logger.log_image(key=name, images=[str(path)], step=trainer.global_step)
