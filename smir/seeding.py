"""Seeds that depend on what is drawn, never on who draws it."""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def seed_for(*key: int | str) -> int:
    """Derives a seed from a key such as `(run seed, "train", epoch, sample index)`.

    The same key gives the same seed on every rank, worker, platform and after a resume; keys that differ in any part
    give unrelated seeds.

    Args:
        key: Whole numbers and words, in a fixed order.

    Returns:
        A seed in [0, 2**63).
    """
    text = "/".join(str(part) for part in key)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator_for(*key: int | str) -> "torch.Generator":
    """Returns a CPU generator seeded by `seed_for(*key)`."""
    import torch  # here, so that commands which draw nothing with it start fast

    return torch.Generator().manual_seed(seed_for(*key))
