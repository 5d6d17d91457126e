"""SelectiveMasking: the callback that runs the stages of METHOD.md section 4 inside one fit.

At the end of a stage it scores the next partition, chooses its masks and clears Adam's moments, before the checkpoint
of that epoch is written. So a checkpoint always holds what the next epoch needs.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from tqdm import tqdm

from smir.errors import CheckpointError, ConfigError, RunError, first_few
from smir.method.image_scores import ImageScore, image_scores
from smir.method.mask_table import MaskTable
from smir.method.masking import HardestMask, MaskPolicy, RandomMask, fixed_mask, refuse_scores
from smir.method.patches import MIN_PATCH_SIDE
from smir.method.scoring import Scored, ScoredPatches, evaluating, refuse_lone_samples
from smir.method.stages import Stages
from smir.runs.lazy_defaults import lazy_instance
from smir.runs.mask_files import save_image_list, save_masks, save_scores, unreadable
from smir.runs.ranks import gather, sync_buffers
from smir.runs.recipe import digest
from smir.terminal import say
from smir.training.health import mask_agreement, warn_if_like_random, warn_of_a_cut_ramp
from smir.training.pictures import policy_masks, reconstruction_panel, save_picture
from smir.training.run_record import run_folder
from smir.training.staged import ScoringModule, StagedData, refuse_incomplete


class SelectiveMasking(Callback):
    """Pretrains in stages: after each, the next part of the pool is scored and every image gets a fixed mask.

    Stage 0 masks at random. A later stage trains on its own partition, from the last weights, with a fresh Adam state
    and learning-rate schedule. `trainer.max_epochs` is the total over all stages. Any LightningModule and datamodule
    with the methods of `smir.training.staged` will do.

    Args:
        num_stages: Number of stages and partitions.
        num_samples: Random masks per image that scores are averaged over.
        policy: Chooses the fixed masks; `null`: every visit draws a random one, so that only the stages remain.
        scoring_mask: Draws the random masks for scoring.
        score_patches: Patches that a sample scores: `all`, the paper's way, or the `masked` ones alone; or `excess`,
            the loss of a patch where it is masked minus the loss where it is visible, which needs `paired_samples`.
        paired_samples: Draw the random masks in complementary pairs, which mask every patch once: `num_samples: 2` is
            then as good as five independent masks, with 40 % of the passes. The paper draws independently.
        batch_size: Views scored at once on one device; changes only the speed.
        score: Scores patches from the image alone, `VarianceScore` or `InterpolationScore`, as a control: the options
            of scoring above then have no effect. `null`: by the loss of the network's reconstruction.
    """

    def __init__(
        self,
        num_stages: int = 10,
        num_samples: int = 5,
        policy: MaskPolicy | None = lazy_instance(HardestMask, ratio=0.5),
        scoring_mask: MaskPolicy = lazy_instance(RandomMask, ratio=0.5),
        score_patches: ScoredPatches = "all",
        paired_samples: bool = False,
        batch_size: int = 16,
        score: ImageScore | None = None,
    ) -> None:
        if min(num_stages, num_samples, batch_size) < 1:
            raise ConfigError(
                f"num_stages, num_samples and batch_size must be 1 or more, got {num_stages}, {num_samples} and "
                f"{batch_size}."
            )
        refuse_scores(scoring_mask, "scoring_mask")
        refuse_lone_samples(score_patches, num_samples, paired_samples)
        self.num_stages, self.num_samples, self.batch_size = num_stages, num_samples, batch_size
        self.policy, self.scoring_mask, self.score_patches = policy, scoring_mask, score_patches
        self.paired_samples, self.score = paired_samples, score
        self._restored: dict[str, Any] | None = None
        self._stages: Stages  # these three are known from `setup` on
        self._data: StagedData
        self._stage_epochs: int

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Splits the pool into partitions."""
        if stage != "fit":
            return
        self._data = getattr(trainer, "datamodule", None)  # type: ignore[assignment]  # what it lacks is named next
        refuse_incomplete(pl_module, ScoringModule, "ReconstructionModule")
        refuse_incomplete(self._data, StagedData, "a datamodule of smir.data")
        if trainer.fast_dev_run:  # type: ignore[attr-defined]  # a single batch, without stages
            self.num_stages = 1
        if not trainer.max_epochs or trainer.max_epochs < 1 or trainer.max_epochs % self.num_stages:
            raise ConfigError(
                f"trainer.max_epochs ({trainer.max_epochs}) is the total over all stages and must be a multiple of "
                f"num_stages ({self.num_stages})."
            )
        if trainer.check_val_every_n_epoch != 1:
            raise ConfigError(
                f"trainer.check_val_every_n_epoch is {trainer.check_val_every_n_epoch}; SelectiveMasking needs 1, or "
                "the best checkpoint of a stage would be chosen by a loss of the one before."
            )
        if self.num_stages > 1 and trainer.early_stopping_callbacks:
            raise ConfigError(
                "EarlyStopping would end the training in an early stage, because losses of different stages do not "
                "compare. Remove it from trainer.callbacks, or train in one stage (num_stages: 1)."
            )
        warn_of_a_cut_ramp(self.policy, self.num_stages)
        self._stage_epochs = trainer.max_epochs // self.num_stages
        self._stages = self._data.use_stages(self.num_stages)
        if self.policy is not None and self.num_stages > 1:
            _refuse_thin_patches(self._data, self._stages.num_images)
            self._try_out(self.policy, trainer.strategy.root_device)

    def _try_out(self, policy: MaskPolicy, device: torch.device) -> None:
        """Scores and masks an empty image, so that an error in a class of one's own does not wait for a whole stage."""
        shape = self._data.view_shapes([0])[0]
        grid = self._data.preprocessing.grid(*shape)
        if self.score is not None:
            image_scores(self.score, torch.zeros(1, 3, *shape, device=device), grid)
        scores = torch.linspace(0, 1, len(grid)) if policy.needs_scores else None
        mask = fixed_mask(policy, grid, scores, self._data.seed, stage=1, key=0)
        if (count := int(mask.sum())) != policy.count(grid):
            rank_zero_warn(
                f"{type(policy).__name__} masks {count} of {len(grid)} patches; by its ratio of {policy.ratio}, it "
                f"would be {policy.count(grid)}."
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Continues in the stage of the checkpoint, with its masks; raises a CheckpointError if they do not fit."""
        if self._restored is None:
            return
        stage, masks = self._restored.get("stage"), self._restored.get("masks")
        table = None if masks is None else MaskTable.from_state(masks)
        if not isinstance(stage, int):
            raise CheckpointError(f"The stage of the checkpoint is {stage!r}, which is not a whole number.")
        if (pool := self._restored.get("pool")) is not None and table is not None and pool != self._pool():
            raise CheckpointError(
                "The masks in the checkpoint were chosen for other images. Give the images of that run, or start from "
                "its weights: --model.weights FILE."
            )
        try:
            self._stages.advance(stage, table)
        except ValueError as error:
            raise CheckpointError(f"The checkpoint does not fit the {self.num_stages} stages here: {error}") from error
        folder = run_folder(trainer)
        own = trainer.ckpt_path is not None and Path(trainer.ckpt_path).parent.parent == folder
        if table is not None and own and trainer.is_global_zero:
            self._keep_masks(folder / "masks", stage, table)

    def _keep_masks(self, folder: Path, stage: int, table: MaskTable) -> None:
        """Writes the masks of the stage again, whose file may be lost; warns of other lost files."""
        save_image_list(folder, self._data.images("pool"))
        save_masks(folder / f"stage-{stage:02d}.npz", table)
        lost = unreadable(folder, stage, self.policy is not None and self.policy.needs_scores)
        if lost:
            rank_zero_warn(f"Files of earlier stages are lost and are not made again. {first_few(lost)}")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Resets the best checkpoint at the start of a stage, because losses of different stages do not compare.

        Raises:
            CheckpointError: If the training continues from a run with stages of another number or length, or none.
        """
        if (stage := trainer.current_epoch // self._stage_epochs) != self._stages.current:
            raise CheckpointError(
                f"Epoch {trainer.current_epoch + 1} is in stage {stage} of 0 to {self.num_stages - 1} here, but the "
                f"checkpoint that the training continues from is in stage {self._stages.current}: its stages have "
                "another length, or it was trained without stages. Keep num_stages and trainer.max_epochs, or start "
                "from its weights: --model.weights FILE."
            )
        if trainer.current_epoch % self._stage_epochs == 0:
            for callback in trainer.checkpoint_callbacks:
                if isinstance(callback, ModelCheckpoint) and callback.monitor:
                    callback.best_k_models, callback.best_model_path, callback.kth_best_model_path = {}, "", ""
                    callback.best_model_score = callback.current_score = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prepares the next stage at the end of each stage but the last."""
        done = trainer.current_epoch + 1
        if done % self._stage_epochs or done == trainer.max_epochs:
            return
        stage = self._stages.current + 1
        self._stages.advance(stage, None if self.policy is None else self.choose_masks(trainer, pl_module, stage))
        for optimizer in trainer.optimizers:
            optimizer.state.clear()
        say(
            f"Stage {stage + 1} of {self.num_stages} begins (stage {stage} in files and metrics, which count from 0): "
            f"{len(self._stages.train(stage))} images."
        )

    def state_dict(self) -> dict[str, Any]:
        """Returns the stage of the next epoch, its masks, packed, and a hash of the images that they are for."""
        masks = self._stages.masks
        return {
            "stage": self._stages.current,
            "masks": None if masks is None else masks.state(),
            "pool": None if masks is None else self._pool(),
        }

    def _pool(self) -> str:
        return digest(list(self._data.images("pool")))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keeps the state for `on_fit_start`."""
        self._restored = state_dict

    def choose_masks(self, trainer: Trainer, module: LightningModule, stage: int) -> MaskTable:
        """Chooses one mask for every image of a partition; writes masks and scores to the run folder."""
        assert self.policy is not None
        data, folder = self._data, run_folder(trainer) / "masks"
        indices = self._stages.partition(stage).tolist()
        scores: dict[int, Tensor] = {}
        if self.policy.needs_scores:
            scores = self._score(trainer, module, stage, indices)
            if trainer.is_global_zero:
                save_scores(folder / f"stage-{stage:02d}-scores.npz", indices, [scores[index] for index in indices])
        grids = [data.preprocessing.grid(*shape) for shape in data.view_shapes(indices)]
        masks = [
            fixed_mask(self.policy, grid, scores.get(index), data.seed, stage, index)
            for grid, index in zip(grids, indices, strict=True)
        ]
        table = MaskTable.pack(indices, grids, masks, data.preprocessing.num_patches)
        if trainer.is_global_zero:
            save_image_list(folder, data.images("pool"))
            save_masks(folder / f"stage-{stage:02d}.npz", table)
        return table

    def _score(self, trainer: Trainer, module: LightningModule, stage: int, indices: list[int]) -> dict[int, Tensor]:
        """Scores a partition on all ranks; returns the scores (P,) of every image on every rank."""
        assert self.policy is not None
        sync_buffers(module)
        own: dict[int, np.ndarray[Any, Any]] = {}
        agreements = [torch.empty(0)]
        bar = tqdm(
            self._data.scoring_dataloader(indices, self.batch_size),
            f"Scoring for stage {stage + 1} of {self.num_stages}",
            disable=not trainer.is_global_zero or trainer.progress_bar_callback is None,
            leave=False,
            unit="batch",
        )
        with evaluating(module):
            for number, batch in enumerate(bar):
                keys = batch["index"].tolist()
                views = batch["image"].to(module.device, non_blocking=True)
                with trainer.precision_plugin.forward_context():
                    scored = self.score_batch(module, views, keys, stage)
                own |= dict(zip(keys, scored.scores.cpu().numpy(), strict=True))
                agreements.append(mask_agreement(scored.samples, self.policy.count(scored.grid)).cpu())
                if number == 0 and trainer.is_global_zero:
                    self._picture(trainer, scored, stage, keys)
        everyone = {index: score for part in gather(own) for index, score in part.items()}
        scores = _complete(everyone, indices, stage, self._data, self.score)
        warn_if_like_random(torch.cat(gather(torch.cat(agreements))), stage)
        return scores

    def score_batch(self, module: LightningModule, views: Tensor, keys: Sequence[int], stage: int) -> Scored:
        """Scores views (B, C, H, W) of images with these keys as the stages do."""
        return cast(ScoringModule, module).score_views(
            views,
            list(keys),
            num_samples=self.num_samples,
            seed=self._data.seed,
            stage=stage,
            policy=self.scoring_mask,
            over=self.score_patches,
            paired=self.paired_samples,
            score=self.score,
        )

    def _picture(self, trainer: Trainer, scored: Scored, stage: int, keys: list[int], limit: int = 4) -> None:
        """Writes a picture of the first images of the next stage and their masks."""
        assert self.policy is not None
        masks = policy_masks(self.policy, scored, keys[:limit], self._data.seed, stage)
        panel = reconstruction_panel(self._data.preprocessing, scored, f"mask of stage {stage + 1}", masks)
        save_picture(trainer, f"stage-{stage:02d}", panel)


def _refuse_thin_patches(data: StagedData, num_images: int) -> None:
    """Raises a ConfigError before training if patches of a view are too thin to be scored."""
    preprocessing = data.preprocessing
    if preprocessing.view_size >= 2 * MIN_PATCH_SIDE * math.sqrt(preprocessing.num_patches):
        return  # no strip is thinner than half of the unrounded size: no need to read all headers
    for shape in sorted(set(data.view_shapes(range(num_images)))):
        preprocessing.grid(*shape)


def _complete(
    scores: dict[int, np.ndarray[Any, Any]],
    indices: list[int],
    stage: int,
    data: StagedData,
    score: ImageScore | None,
) -> dict[int, Tensor]:
    """Returns the scores of a partition; raises a RunError if some are missing or not finite."""
    if missing := set(indices) - set(scores):
        raise RunError(
            f"scoring_dataloader of {type(data).__name__} left out {len(missing)} of {len(indices)} images of stage "
            f"{stage + 1}."
        )
    diverged = [index for index in indices if not np.isfinite(scores[index]).all()]
    if diverged:
        cause = (
            "the network has diverged. Lower model.lr, or train longer (trainer.max_epochs): stages of few epochs have "
            "no warm-up."
            if score is None
            else f"correct {type(score).__name__}, which computes them from the image alone."
        )
        raise RunError(
            f"The scores of {len(diverged)} of {len(indices)} images of stage {stage + 1} are not finite, the first is "
            f"{data.images('pool')[diverged[0]]}: {cause}"
        )
    return {index: torch.from_numpy(scores[index]) for index in indices}
