"""Run by test_ranks.py as a program of one or two processes: scores a partition with given weights, and stops.

usage: python rank_scores.py DEVICES DATA_ROOT CHECKPOINT OUT
"""

import sys
from pathlib import Path

from lightning.pytorch import Trainer

from smir.data import Nassar
from smir.models.networks import UNetStride4
from smir.training.reconstruction import ReconstructionModule
from smir.training.selective_masking import SelectiveMasking


class ScoreAndStop(SelectiveMasking):
    """Scores at the start of training, before the weights change."""

    def on_train_start(self, trainer, pl_module):
        self.choose_masks(trainer, pl_module, stage=1)
        trainer.should_stop = True


def build(out_channels):
    return UNetStride4(out_channels, "tu-test_efficientnet", [16, 16, 16])


if __name__ == "__main__":
    devices, root, checkpoint, out = sys.argv[1:]
    data = Nassar(Path(root), task="pretrain", batch_size=4, crop_size=192, num_workers=0)
    trainer = Trainer(
        accelerator="cpu",
        devices=int(devices),
        strategy="ddp" if int(devices) > 1 else "auto",
        max_epochs=20,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        default_root_dir=out,
        callbacks=[ScoreAndStop(num_stages=2, num_samples=3, batch_size=2)],
    )
    module = ReconstructionModule(
        network=build, preprocessing=data.preprocessing, warmup_epochs=0, weights=Path(checkpoint)
    )
    trainer.fit(module, datamodule=data)
