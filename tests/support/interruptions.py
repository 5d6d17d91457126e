"""Interrupts a training at a chosen moment, in this process."""

import smir.training
from smir.training.run_record import RunRecord


class Killed(RuntimeError):
    pass


def die_at_epoch(monkeypatch, epoch):
    original = RunRecord.on_train_epoch_start

    def hook(self, trainer, pl_module):
        if trainer.current_epoch == epoch:
            raise Killed
        original(self, trainer, pl_module)

    monkeypatch.setattr(RunRecord, "on_train_epoch_start", hook)


def die_while_scoring(monkeypatch):
    def scoring(*args, **kwargs):
        raise Killed

    monkeypatch.setattr(smir.training.ReconstructionModule, "score_views", scoring)
