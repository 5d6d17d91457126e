"""Environment variables and files of other tools. None of them may change a run."""

import os

VARIABLES = {
    **{"SLURM_JOB_ID": "71", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "1", "SLURM_PROCID": "0"},
    **{"SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NNODES": "1", "SLURM_JOB_NODELIST": "localhost"},
    **{"SLURM_CPUS_PER_TASK": "3", "SLURM_ARRAY_TASK_ID": "2", "SLURM_RESTART_COUNT": "1"},
    **{"RANK": "0", "LOCAL_RANK": "0", "GROUP_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"},
    **{"MASTER_ADDR": "localhost", "MASTER_PORT": "29511", "NODE_RANK": "0"},
    **{"PL_TRAINER_MAX_EPOCHS": "1", "PL_TRAINER_LIMIT_TRAIN_BATCHES": "1", "PL_TRAINER_PRECISION": "bf16-mixed"},
    **{"PL_TRAINER_FAST_DEV_RUN": "1", "PL_TRAINER_DEFAULT_ROOT_DIR": "elsewhere", "PL_GLOBAL_SEED": "9"},
    **{"PL_SEED_WORKERS": "1", "PL_FIT__RUN__EXPERIMENT": "theirs", "PL_FIT__SEED_EVERYTHING": "9"},
    **{"PL_CONFIG": "config.yaml", "JSONARGPARSE_DEFAULT_ENV": "true", "LT_DEVICES": "2", "LT_PRECISION": "16"},
}
FILES = (
    *("hpc_ckpt_1.ckpt", "hpc_ckpt_12.ckpt", "on_exception.ckpt", "hpc", "last", "last.ckpt", "best.ckpt"),
    *("checkpoints/last.ckpt", "lightning_logs/version_0/last.ckpt", "lightning_logs/version_0/hparams.yaml"),
    *("config.yaml", "metrics.csv", "wandb/settings", "environment.json", "run.json", "DONE", ".env"),
)


def strew(folder, content=b"of another tool"):
    """Writes files of other tools into a folder, except those that exist."""
    for name in FILES:
        path = folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def surround(patch):
    """Sets the variables that are not set already, for the duration of a `MonkeyPatch`."""
    for name, value in VARIABLES.items():
        if name not in os.environ:
            patch.setenv(name, value)
