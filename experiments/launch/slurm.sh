#!/usr/bin/env bash
# One training on several nodes of a SLURM cluster: a task for every GPU. Use, from the root of the repository:
#   sbatch experiments/launch/slurm.sh fit --config experiments/nassar/selective.yaml --data.root /data
#SBATCH --job-name=smir
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
# Two minutes before its time is up the training is asked to stop; its last epoch is kept.
#SBATCH --signal=USR1@120
#SBATCH --requeue
set -euo pipefail
export SLURM_KILL_BAD_EXIT=1  # a task that fails ends the others

code=0
srun "${PYTHON:-.venv/bin/python}" -m smir "$@" \
    --trainer.num_nodes "$SLURM_NNODES" --trainer.devices "$SLURM_NTASKS_PER_NODE" || code=$?
if [ "$code" = 75 ]; then  # stopped by a signal: the same command resumes the run
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
