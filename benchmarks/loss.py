"""The loss: its share of a training step, and how far it is from a reference implementation."""

from collections.abc import Iterator

import pytorch_msssim
import torch
from torch.nn.functional import avg_pool2d

from benchmarks.measure import Row, seconds, take_turns, why_not
from smir.method.losses import ReconstructionLoss
from smir.models.networks import SmpNetwork

BATCH, SIZE = 8, 256
SHARE = "L1 + MS-SSIM forward and backward, share of a bfloat16 step"
GOALS = {"cpu": 10, "cuda": 5}


def rows(device: str) -> Iterator[Row]:
    """The figures of the loss on a device."""
    if reason := why_not(device):
        yield Row(SHARE, device, None, GOALS[device], "at most", "%", note=reason)
        return
    torch.manual_seed(0)
    target = (3 * avg_pool2d(torch.randn(BATCH, 3, SIZE, SIZE), 5, stride=1, padding=2)).to(device)
    target = target.contiguous(memory_format=torch.channels_last)
    if reason := why_not(device, "bfloat16"):
        yield Row(SHARE, device, None, GOALS[device], "at most", "%", note=reason)
    else:
        yield _share(device, target)
    worst = _difference(target)
    yield Row("MS-SSIM, difference from pytorch-msssim", device, worst, 1e-5, "at most", "", note="largest")


def _share(device: str, target: torch.Tensor) -> Row:
    """Times the loss beside a whole step."""
    loss, network = ReconstructionLoss(), SmpNetwork(3).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters())

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16):
            loss(network(target), target).backward()
        optimizer.step()

    answer = (target + 0.5 * torch.randn_like(target)).bfloat16()

    def ours() -> None:
        loss(answer.clone().requires_grad_(), target).backward()

    def reference() -> None:
        z = answer.float().requires_grad_()
        ((z - target).abs().mean() + 1 - pytorch_msssim.ms_ssim(z, target, data_range=1)).backward()

    times = take_turns(7, device, step=step, ours=ours, reference=reference)
    value, spread = times.ratio("ours", "step", scale=100)
    note = (
        f"{seconds(times.median('ours'))} of {seconds(times.median('step'))}, pytorch-msssim takes "
        f"{seconds(times.median('reference'))}; batch {BATCH}, smp.Unet with ResNet-34"
    )
    return Row(SHARE, device, value, GOALS[device], "at most", "%", spread, note)


def _difference(target: torch.Tensor) -> float:
    worst = 0.0
    for share in (0.05, 0.2, 0.5, 1.0):
        answer = target + share * torch.randn_like(target)
        reference = pytorch_msssim.ms_ssim(answer, target, data_range=1, size_average=False)
        found = ReconstructionLoss().similarity(answer, target)
        worst = max(worst, (found - reference).abs()[reference.isfinite()].max().item())
    return worst
