"""`trainer.precision: auto`: bfloat16 where the device computes with it natively, else float32."""

import sys
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Trainer

from smir.errors import ConfigError

Precision = Literal[
    "auto", "32-true", "16-mixed", "bf16-mixed", "32", "16", "bf16", "64", "64-true", "16-true", "bf16-true"
]
_NATIVE = {"amx_bf16", "avx512_bf16"}
"""Flags of processors that have instructions for products of bfloat16; on others it is slower than float32."""


class SmirTrainer(Trainer):
    """Lightning's trainer; its precision may be `auto`.

    Args:
        precision: `auto` computes in bfloat16 (`bf16-mixed`) on GPUs and processors that have it natively, and in
            `32-true` elsewhere. The config and the recipe of the run record the result.
        kwargs: The arguments of Lightning's trainer.
    """

    def __init__(self, *, precision: Precision | int | None = None, **kwargs: Any) -> None:
        super().__init__(precision=precision, **kwargs)  # type: ignore[arg-type]  # `auto` has become one of Lightning's


def refuse_replaced_precision(trainer: Trainer, asked: str | int | None) -> None:
    """Refuses to train in another precision than the recipe would record: Lightning replaces float16 on CPUs.

    Raises:
        ConfigError: If it has.
    """
    if str(asked) in ("16", "16-mixed") and trainer.precision != "16-mixed":
        raise ConfigError(
            f"trainer.precision {asked} needs a GPU. On a CPU, Lightning would compute in {trainer.precision}. Set "
            "trainer.precision to auto: it takes bf16-mixed if the processor has it natively, else 32-true."
        )


def native_precision(accelerator: str) -> str:
    """Returns `bf16-mixed` where an accelerator has it natively, else `32-true`."""
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    return "bf16-mixed" if accelerator in ("auto", "cpu") and _NATIVE & _processor_flags() else "32-true"


def _processor_flags() -> set[str]:
    """Flags of the processor; none where the system does not list them."""
    if not sys.platform.startswith("linux"):
        return set()
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    return set(next((line for line in lines if line.startswith("flags")), "").split())
