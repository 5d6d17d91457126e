"""Collects the loss of every patch of every image for a pretraining, and pictures of the hardest."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from smir.classes import UInt8
from smir.files.pages.html import data_uri
from smir.inspect.batches import View, require_finite, stacked
from smir.inspect.crops import around, outlined
from smir.inspect.ranking import Histogram, Top
from smir.method.baselines import inpaint, mean_fill
from smir.method.losses import patch_loss
from smir.method.masking import MaskPolicy
from smir.method.padding import padded_forward
from smir.method.patches import PatchGrid
from smir.method.scoring import Scored
from smir.training.pictures import colors, policy_masks
from smir.training.reconstruction import ReconstructionModule

PATCHES_OF_AN_IMAGE = 3
"""Patches of one image among the hardest shown, at most: else one odd image would fill the page."""
CONTEXT = 5
"""Side of the picture around a patch, in patches."""
PATCH_COLUMNS = ("image", "row", "column", "top", "left", "bottom", "right", "loss", "hidden")


@dataclasses.dataclass(frozen=True)
class ImageLoss:
    """The patch losses of an image in short.

    Attributes:
        index: Its place in the list.
        name: Its name.
        mean: Mean over its patches.
        lowest: The lowest.
        highest: The highest.
        mean_fill: Mean patch loss, for the same masks, if masked patches are filled with the mean colour.
        inpaint: Mean patch loss if masked patches are interpolated from their visible neighbours.
    """

    index: int
    name: str
    mean: float
    lowest: float
    highest: float
    mean_fill: float
    inpaint: float


@dataclasses.dataclass(frozen=True)
class ShownImage:
    """An image with its patch losses (P,), and pictures by caption; the heat map's scale is known only at the end."""

    loss: ImageLoss
    pictures: dict[str, str]
    grid: PatchGrid
    scores: npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class ShownPatch:
    """A patch with its surroundings: the truth, and the network's answer when the chosen mask hides it."""

    index: int
    name: str
    row: int
    column: int
    loss: float
    truth: str
    answer: str


class PatchLosses:
    """Collects batches of views: a few numbers for every image, and pictures of the hardest.

    Args:
        module: The pretrained network, in eval mode.
        policy: Chooses the mask that an image would get.
        num_samples: Random masks that the loss of a patch is averaged over.
        seed: Seed of these masks.
        limit: Number of images to show; of patches twice as many.
    """

    def __init__(
        self, module: ReconstructionModule, policy: MaskPolicy, num_samples: int, seed: int, limit: int
    ) -> None:
        self.module, self.policy, self.num_samples, self.seed = module, policy, num_samples, seed
        self.images: list[ImageLoss] = []
        self.losses = Histogram(width=0.01)
        self.hardest: Top[ShownImage] = Top(limit)
        self.easiest: Top[ShownImage] = Top(max(1, limit // 8))
        self.patches: Top[ShownPatch] = Top(2 * limit)

    @torch.no_grad()
    def add(self, views: Sequence[View]) -> Iterator[Sequence[object]]:
        """Scores a batch; yields a row of `PATCH_COLUMNS` for every patch, boxes in pixels of the file."""
        images, keys = stacked(views, self.module.device), [view.place for view in views]
        scored = self.module.score_views(images, keys, num_samples=self.num_samples, seed=self.seed)
        scores = scored.scores.cpu()
        for view, score in zip(views, scores, strict=True):
            require_finite(score, f"The losses of {view.name} are")
        chosen = policy_masks(self.policy, scored, keys, self.seed, stage=0)
        fills = _fills(scored).tolist()
        answers: list[UInt8] = []  # to the chosen masks, made when a picture needs one
        for place, view in enumerate(views):
            score = scores[place]
            mean, lowest, highest = float(score.mean()), float(score.min()), float(score.max())
            loss = ImageLoss(view.place, view.name, mean, lowest, highest, *fills[place])
            self.images.append(loss)
            self.losses.add(score.tolist())
            self._show(loss, scored, place, chosen[place])
            for patch in score.argsort(descending=True, stable=True)[:PATCHES_OF_AN_IMAGE].tolist():
                if self.patches.takes(float(score[patch]), view.place, patch):
                    answers = answers or self._answers(scored, chosen)
                    shown = _shown_patch(view, scored.grid, patch, float(score[patch]), answers[place])
                    self.patches.add(shown, shown.loss, view.place, patch)
            yield from _rows(view, scored.grid, score, chosen[place])

    def _answers(self, scored: Scored, chosen: Tensor) -> list[UInt8]:
        hidden = scored.grid.to_pixels(chosen.to(scored.image.device))[:, None]
        return colors(self.module.preprocessing, padded_forward(self.module.network, scored.image * ~hidden))

    def _show(self, loss: ImageLoss, scored: Scored, place: int, chosen: Tensor) -> None:
        tops = [(self.hardest, loss.mean), (self.easiest, -loss.mean)]
        tops = [(top, value) for top, value in tops if top.takes(value, loss.index)]
        if not tops:
            return
        image, hidden = scored.image[place], scored.grid.to_pixels(chosen.to(scored.image.device))
        layers = {
            "image": image,
            "masked input, one of several": image * ~scored.mask[place],
            "its reconstruction": scored.reconstruction[place],
            "mask it would get": image * ~hidden,
        }
        pictures = colors(self.module.preprocessing, torch.stack([*layers.values()]))
        uris = {name: data_uri(picture) for name, picture in zip(layers, pictures, strict=True)}
        shown = ShownImage(loss, uris, scored.grid, scored.scores[place].cpu().numpy())
        for top, value in tops:
            top.add(shown, value, loss.index)


def _fills(scored: Scored) -> Tensor:
    """Mean patch loss (B, 2) of filling the masks of all samples with the mean colour, and by interpolation."""
    masks = [scored.grid.to_pixels(masked)[:, None] for masked in scored.masked]
    losses = [
        [patch_loss(fill(scored.image, mask), scored.image, scored.grid).mean(dim=1) for mask in masks]
        for fill in (mean_fill, inpaint)
    ]
    return torch.stack([torch.stack(samples).mean(dim=0) for samples in losses], dim=1)


def _shown_patch(view: View, grid: PatchGrid, patch: int, loss: float, answer: UInt8) -> ShownPatch:
    top, left, bottom, right = box = grid.boxes[patch].tolist()
    window = around(box, view.image.shape[:2], CONTEXT * max(bottom - top, right - left))
    pictures = (data_uri(outlined(picture, box, window)) for picture in (view.image, answer))
    return ShownPatch(view.place, view.name, patch // grid.cols, patch % grid.cols, loss, *pictures)


def _rows(view: View, grid: PatchGrid, score: Tensor, chosen: Tensor) -> Iterator[Sequence[object]]:
    scales = [full / side for full, side in zip(view.size, view.image.shape[:2], strict=True)] * 2
    values = zip(grid.boxes.tolist(), score.tolist(), chosen.tolist(), strict=True)
    for patch, (box, loss, hidden) in enumerate(values):
        edges = [round(edge * scale) for edge, scale in zip(box, scales, strict=True)]
        yield view.name, patch // grid.cols, patch % grid.cols, *edges, f"{loss:.6f}", int(hidden)
