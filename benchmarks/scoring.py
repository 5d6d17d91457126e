"""Scoring an image: against the plain loop, and against the forward passes that it needs."""

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import Row, Times, seconds, take_turns, why_not
from benchmarks.plain import lean_ssim, score_image
from smir.method.masking import RandomMask
from smir.models.networks import SmpNetwork
from smir.seeding import generator_for
from smir.training.reconstruction import ReconstructionModule

SIZE, SAMPLES = 256, 5
MATRIX = 4096  # a product that shows what the processor can do
GOALS = {
    ("cpu", "float32"): (9, 1.10),
    ("cpu", "bfloat16"): (14, 1.20),
    ("cuda", "float32"): (1000, 1.10),
    ("cuda", "bfloat16"): (1000, 1.20),
}


def rows(device: str) -> Iterator[Row]:
    """The figures of scoring on a device; the plain loop always runs on the CPU, where the authors run it."""
    reasons = {precision: why_not(device, precision) for precision in ("float32", "bfloat16")}
    batch = 8 if device == "cpu" else 64
    if None in reasons.values():
        times, operations = _measure(device, batch, reasons["bfloat16"] is None)
    for precision, reason in reasons.items():
        if reason is None:
            yield from _rows_of(precision, device, times, batch, operations)
        else:
            faster, overhead = GOALS[device, precision]
            yield Row(_faster(precision), device, None, faster, "at least", note=reason)
            yield Row(_overhead(precision), device, None, overhead, "at most", note=reason)


def _measure(device: str, batch: int, with_bfloat16: bool) -> tuple[Times, int]:
    """Times everything, and counts the floating-point operations of the passes that a batch needs."""
    torch.manual_seed(0)
    module = ReconstructionModule(network=SmpNetwork).eval()
    plain_network = copy.deepcopy(module.network)
    module.network.to(device, memory_format=torch.channels_last)
    views = torch.randint(256, (batch, 3, SIZE, SIZE), dtype=torch.uint8, device=device)
    image = module.preprocessing.normalize(views)
    grid = module.preprocessing.grid(SIZE, SIZE)
    masks = [RandomMask()(grid=grid, generator=generator_for(0, "score", 0, 0)) for _ in range(SAMPLES)]
    one = image[:1].cpu().contiguous()
    matrix = torch.randn(MATRIX, MATRIX, device=device)
    half = matrix.bfloat16()

    def score() -> None:
        module.score_views(views, range(batch), num_samples=SAMPLES)

    def score_paired() -> None:
        module.score_views(views, range(batch), num_samples=2, paired=True)

    @torch.no_grad()
    def forward() -> None:
        for _ in range(SAMPLES):
            module.network(image)

    low = torch.autocast(device, torch.bfloat16)
    in_bfloat16: dict[str, Callable[[], object]] = {
        "bfloat16": low(score),
        "bfloat16_forward": low(forward),
        "bfloat16_paired": low(score_paired),
        "bfloat16_product": lambda: half @ half,
    }
    times = take_turns(
        5,
        device,
        plain=lambda: score_image(plain_network, one, grid, masks),
        lean=torch.no_grad()(lambda: score_image(plain_network, one, grid, masks, lean_ssim)),
        float32=score,
        float32_forward=forward,
        float32_paired=score_paired,
        float32_product=lambda: matrix @ matrix,
        **(in_bfloat16 if with_bfloat16 else {}),
    )
    return times, _operations(module.network, image)


def _rows_of(precision: str, device: str, times: Times, batch: int, operations: int) -> Iterator[Row]:
    faster, overhead = GOALS[device, precision]
    value, spread = times.ratio("plain", precision, scale=batch)
    note = f"{seconds(times.median('plain'))} against {seconds(times.median(precision) / batch)} an image"
    yield Row(_faster(precision), device, value, faster, "at least", spread=spread, note=note)
    value, spread = times.ratio("lean", precision, scale=batch)
    note = f"{seconds(times.median('lean'))} an image in that loop"
    figure = f"{_faster(precision)} with a lean SSIM of our own"
    yield Row(figure, device, value, None, "at least", spread=spread, note=note)
    value, spread = times.ratio(precision, f"{precision}_forward")
    passes, product = times.median(f"{precision}_forward"), times.median(f"{precision}_product")
    note = (
        f"{batch} images: {seconds(passes)} are forward passes, at {operations / passes / 1e9:,.0f} GFLOP/s; a product "
        f"of two {MATRIX} x {MATRIX} matrices runs at {2 * MATRIX**3 / product / 1e9:,.0f}"
    )
    yield Row(_overhead(precision), device, value, overhead, "at most", spread=spread, note=note)
    value, spread = times.ratio("plain", f"{precision}_paired", scale=batch)
    figure = f"{_faster(precision)}, with one pair of complementary masks for the five samples"
    yield Row(figure, device, value, None, "at least", spread=spread, note="an option, another recipe")


def _operations(network: torch.nn.Module, image: Tensor) -> int:
    """Floating-point operations of all the passes that a batch needs."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    return SAMPLES * int(counter.get_total_flops())


def _faster(precision: str) -> str:
    return f"scoring an image in {precision}, times as fast as the plain float32 loop on the CPU"


def _overhead(precision: str) -> str:
    return f"scoring in {precision}, time over that of the bare forward passes"
