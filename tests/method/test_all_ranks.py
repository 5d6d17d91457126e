"""A step on several processes has the same loss and gradients as on one process with the whole batch."""

import os
import subprocess

import pytest
import torch
from rank_losses import LOSSES, SHARES
from words import REPOSITORY, SUPPORT


@pytest.fixture(scope="module")
def steps(python, tmp_path_factory):
    """Losses and gradients of every process, by the number of processes and the rank."""
    out = tmp_path_factory.mktemp("steps")
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([python, SUPPORT / "rank_losses.py", out], env=env, check=True, timeout=300)
    return {(n, rank): torch.load(out / f"{n}-{rank}.pt", weights_only=True) for n in SHARES for rank in range(n)}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("ranks", [number for number in SHARES if number > 1])
def test_loss_and_gradients_do_not_depend_on_the_number_of_ranks(steps, ranks, loss):
    one = steps[1, 0][loss]
    for rank in range(ranks):
        several = steps[ranks, rank][loss]
        assert float(several["loss"]) == pytest.approx(float(one["loss"]), abs=1e-6)
        for found, expected in zip(several["gradients"], one["gradients"], strict=True):
            torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
