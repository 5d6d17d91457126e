"""Early warnings about a pretraining that learns nothing."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from smir.method.masking import MaskPolicy, RampMask
from smir.terminal import say
from smir.training.task import SmirModule

LITTLE = 0.1
"""Agreement below which masks count as random; 0 is chance, 1 is perfect."""
LEAST_STEPS = {"val/mean_fill": 400, "val/inpaint": 30}
"""Fewest steps of a stage before a baseline must be beaten.

Healthy runs of an encoder from ImageNet beat the mean colour after 180 to 306.
"""
_ADVICE = {
    "val/mean_fill": "filling masked patches with the mean colour, and never was in this stage, although the "
    "warm-up is over. The network does not learn: lower model.lr, look at the pictures of the run, and check data.mean "
    "and data.std.",
    "val/inpaint": "filling masked patches by interpolation between their visible neighbours, and never was in "
    "this stage, although half of it is over. The network has learnt no more than interpolation: train longer per "
    "stage (trainer.max_epochs), or on more images.",
}
"""For each baseline: its name in words, and what to do."""


def mask_agreement(samples: Tensor, count: int) -> Tensor:
    """Measures how far two halves of the scoring samples agree on the hardest patches of each image.

    Args:
        samples: Scores (S, B, P) of S random masks.
        count: Number of patches that are chosen.

    Returns:
        Tensor (B,): 1 = the same patches, 0 = chance; empty with a single sample.
    """
    half = len(samples) // 2
    if half == 0:
        return samples.new_empty(0)
    ratio = count / samples.shape[-1]
    first, second = (
        torch.zeros_like(part[0], dtype=torch.bool).scatter_(-1, part.mean(dim=0).topk(count).indices, True)
        for part in (samples[:half], samples[half:])
    )
    common = (first & second).sum(dim=-1) / count
    return (common - ratio) / (1 - ratio)


def warn_if_like_random(agreement: Tensor, stage: int) -> None:
    """Warns if the chosen masks hardly differ from random ones; `agreement` (N,) covers all images."""
    if len(agreement) and float(agreement.mean()) < LITTLE:
        say(
            f"Warning: the masks of stage {stage + 1} hardly differ from random ones: the agreement of two halves of "
            f"the scoring samples is only {float(agreement.mean()):.0%} (0 % is chance, 100 % is full agreement). The "
            "network reconstructs all patches about equally badly; train longer per stage, check data.mean and "
            "data.std, or raise num_samples."
        )


def warn_of_a_cut_ramp(policy: MaskPolicy | None, num_stages: int) -> None:
    """Warns if the stages end before the ramp of `RampMask`, so that no stage masks only the hardest patches."""
    last = num_stages - 1
    if isinstance(policy, RampMask) and 0 < last < policy.last:
        rank_zero_warn(
            f"RampMask masks the hardest patches alone from stage {policy.last}, but the last of num_stages = "
            f"{num_stages} is stage {last}: there only {last / policy.last:.0%} of the masked patches are the "
            f"hardest. For the whole ramp: --trainer.callbacks.policy.last {last}"
        )


class LearningHealth(Callback):
    """Warns, once per stage, if the network is no better than filling masked patches without learning.

    It should beat the mean colour (`val/mean_fill`) by the end of the warm-up, and interpolation between visible
    neighbours (`val/inpaint`) by half of the stage, but not before `LEAST_STEPS`. The best validation of the stage
    counts, because losses of small pools jump.
    """

    def __init__(self) -> None:
        self._settled = {"val/mean_fill": -1, "val/inpaint": -1}
        """The last stage that beat each baseline, or that a warning was given for."""

    def state_dict(self) -> dict[str, Any]:
        """Returns the settled stages."""
        return {"settled": dict(self._settled)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the settled stages; a checkpoint of 0.1 has one number, for another baseline."""
        if isinstance(state_dict["settled"], dict):
            self._settled |= state_dict["settled"]

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compares the losses that `ReconstructionModule` logs."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        if not isinstance(pl_module, SmirModule) or pl_module.task != "pretrain":
            return
        stages, epoch = pl_module.data.stages, trainer.current_epoch % pl_module.stage_epochs
        steps = (epoch + 1) * int(trainer.num_training_batches) // trainer.accumulate_grad_batches
        loss = trainer.callback_metrics.get("val/loss")
        deadlines = {
            "val/mean_fill": pl_module.warmup_epochs,
            "val/inpaint": max(pl_module.warmup_epochs, pl_module.stage_epochs // 2),
        }
        for name, deadline in deadlines.items():
            baseline = trainer.callback_metrics.get(name)
            if loss is None or baseline is None or self._settled[name] == stages.current:
                continue
            if loss < baseline:
                self._settled[name] = stages.current
            elif epoch >= deadline and steps >= LEAST_STEPS[name]:  # also if the loss is NaN
                self._settled = dict.fromkeys(deadlines, stages.current)  # one warning a stage is enough
                say(
                    f"Warning: epoch {trainer.current_epoch + 1} of {trainer.max_epochs} (stage {stages.current + 1} "
                    f"of {stages.num_stages}): the validation loss {loss:.3f} is no better than the {baseline:.3f} of "
                    f"{_ADVICE[name]}"
                )
