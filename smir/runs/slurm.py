"""SLURM jobs whose tasks do not match the way a command was started."""

import os

from smir.errors import ConfigError


def check_tasks() -> None:
    """Refuses a job of several tasks that srun did not start: its only process would wait for the others.

    Raises:
        ConfigError: For such a job, before anything is imported or read.
    """
    tasks, name = os.environ.get("SLURM_NTASKS", "1"), os.environ.get("SLURM_JOB_NAME")
    if tasks == "1" or name in ("bash", "interactive") or "TORCHELASTIC_RUN_ID" in os.environ:
        return  # a single process, or one for which Lightning does not ask SLURM
    if "SLURM_STEP_ID" not in os.environ or "SLURM_NTASKS_PER_NODE" not in os.environ:
        raise ConfigError(
            f"This SLURM job has {tasks} tasks (SLURM_NTASKS), but srun did not start them with a number for each "
            f"node. For one process: sbatch --ntasks=1. For {tasks} on a node: sbatch --ntasks-per-node={tasks}, and "
            f"srun python -m smir ... --trainer.devices {tasks}."
        )
