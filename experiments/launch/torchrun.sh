#!/usr/bin/env bash
# One training on several machines without a scheduler. Start it on each of them, with the address of the first:
#   NODES=2 GPUS=4 HEAD=10.0.0.1:29500 experiments/launch/torchrun.sh fit --config experiments/nassar/selective.yaml
# The machines share the folder of the runs. NODES and GPUS (of each machine) are 1 unless set.
set -euo pipefail
NODES=${NODES:-1} GPUS=${GPUS:-1} HEAD=${HEAD:-localhost:29500}

exec "${PYTHON:-.venv/bin/python}" -m torch.distributed.run --nnodes "$NODES" --nproc_per_node "$GPUS" \
    --rdzv_backend c10d --rdzv_endpoint "$HEAD" --rdzv_id smir -m smir "$@" \
    --trainer.num_nodes "$NODES" --trainer.devices "$GPUS"
