#!/usr/bin/env bash
# One training on several nodes of a SLURM cluster: a task for every GPU. Use, from the root of the repository:
#   sbatch experiments/launch/slurm.sh fit --config experiments/nassar/selective.yaml --data.root /data
#SBATCH --job-name=smir
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
set -euo pipefail

exec srun "${PYTHON:-.venv/bin/python}" -m smir "$@" \
    --trainer.num_nodes "$SLURM_NNODES" --trainer.devices "$SLURM_NTASKS_PER_NODE"
