"""The options that switch W&B on, and what a sweep's agent says through the environment. Imports nothing of W&B."""

import dataclasses
import os
from typing import Literal


@dataclasses.dataclass
class WandbOptions:
    """Options for logging a run to Weights & Biases.

    Attributes:
        wandb: `online`, `offline` (kept in the run folder for `wandb sync`) or `off`; default: off, unless a sweep
            agent started this process, which then logs as the environment's WANDB_MODE says.
        project: The W&B project; default: the environment's WANDB_PROJECT, else `smir`.
    """

    wandb: Literal["online", "offline", "off"] | None = None
    project: str | None = None

    @property
    def mode(self) -> Literal["online", "offline"] | None:
        """The logging mode, or None for no logging."""
        if self.wandb is not None or sweep_run() is None:
            return None if self.wandb == "off" else self.wandb
        asked = os.environ.get("WANDB_MODE", "online")
        return None if asked == "disabled" else "offline" if asked in ("offline", "dryrun") else "online"


def sweep_run() -> tuple[str, str] | None:
    """The ids of the sweep and of the W&B run that an agent started this process for."""
    sweep, run = os.environ.get("WANDB_SWEEP_ID"), os.environ.get("WANDB_RUN_ID")
    return (sweep, run) if sweep and run else None


def in_sweep(experiment: str) -> str:
    """Gives every run of a sweep an experiment of its own, `<experiment>/sweep-<sweep id>/<W&B run id>`."""
    ids = sweep_run()
    return experiment if ids is None else f"{experiment}/sweep-{ids[0]}/{ids[1]}"
