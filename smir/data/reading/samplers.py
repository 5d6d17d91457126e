"""The samplers of all loaders: they decide which image is visited when, with which seed and mask.

A loader's index is a `Visit`, made in the main process by a sampler that knows seed, epoch, stage and rank. So a stage
needs no new loader, and workers that persist cannot hold old masks (they are told all they need with every visit).
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch.utils.data import Sampler

from smir.errors import DataError, counted
from smir.method.mask_table import PackedMask
from smir.method.stages import Indices, Stages
from smir.seeding import generator_for, seed_for


class Visit(NamedTuple):
    """One visit of one image.

    Attributes:
        index: The image's place in its list.
        seed: Seeds the augmentation and the random mask of this visit.
        mask: The fixed mask of the image in this stage; None if a random one is drawn.
        weight: 0 where the visit only makes the loaders of all ranks equally long; it counts in no metric. Batches
            hold float32, because Apple's GPUs have no float64.
    """

    index: int  # type: ignore[assignment]  # shadows tuple.index, which a visit does not need
    seed: int
    mask: PackedMask | None = None
    weight: float = 1.0


class VisitSampler(Sampler[Visit]):
    """Deals the visits of an epoch to the ranks."""

    def __init__(self, stages: Stages, seed: int, rank: int, world_size: int) -> None:
        self.stages, self.seed, self.rank, self.world_size = stages, seed, rank, world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch; Lightning calls this before it fetches the visits."""
        self.epoch = epoch


class TrainSampler(VisitSampler):
    """Shuffled visits for training, the same number of batches in every stage.

    The incomplete global batch is dropped, or with `fill` completed with the first images of a second order. A stage
    one image short of the longest one takes a short last batch, as does a partition smaller than one batch, because
    Lightning fixes the number of batches once.

    `batch_size` is the global one, a multiple of `world_size`. A resumed run gives `first_epoch`, because Lightning
    fetches its first batches before it sets the epoch.

    Raises:
        DataError: If there are fewer images than processes.
    """

    def __init__(
        self,
        stages: Stages,
        seed: int,
        rank: int,
        world_size: int,
        batch_size: int,
        first_epoch: int = 0,
        fill: bool = False,
    ) -> None:
        super().__init__(stages, seed, rank, world_size)
        self.epoch = self.first_epoch = first_epoch
        sizes = [len(stages.train(stage)) for stage in range(stages.num_stages)]
        if min(sizes) < world_size:
            raise DataError(
                f"{counted(min(sizes), 'training image is', 'training images are')} too few for {world_size} "
                "processes; use fewer devices or stages."
            )
        self.batch_size, self.fill = batch_size, fill
        if fill:
            self.num_batches = -(-max(sizes) // batch_size)
            return
        self.num_batches = max(1, max(sizes) // batch_size)
        if min(sizes) - (self.num_batches - 1) * batch_size < world_size:  # a rank would lack the last batch
            self.num_batches = max(1, min(sizes) // batch_size)

    def limited(self, limit: float | None) -> "TrainSampler":
        """Returns this sampler with as many batches as Lightning's `limit_train_batches` leaves, to count them."""
        if limit is not None:
            most = limit if isinstance(limit, int) else int(limit * self.num_batches)
            self.num_batches = min(self.num_batches, most)
        return self

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, but never one before the first."""
        self.epoch = max(epoch, self.first_epoch)

    def __len__(self) -> int:
        """Visits of this rank in an epoch of the longest stage, so that the number of batches is right."""
        return len(range(self.rank, self.visits(0), self.world_size))

    def visits(self, stage: int) -> int:
        """Visits of all ranks in an epoch of a stage."""
        most = self.num_batches * self.batch_size
        return most if self.fill else min(most, len(self.stages.train(stage)))

    def __iter__(self) -> Iterator[Visit]:
        indices = self.stages.train(self.stages.current)
        for round_ in range(-(-self.visits(self.stages.current) // len(indices))):
            yield from self._visits(indices, round_)

    def _visits(self, indices: Indices, round_: int) -> Iterator[Visit]:
        """Visits of this rank in the first order of an epoch, or in a later one that fills the last batch."""
        key = ("order", self.epoch) if round_ == 0 else ("order", self.epoch, round_)
        order = torch.randperm(len(indices), generator=generator_for(self.seed, *key)).numpy()
        begin = round_ * len(indices)
        mine = indices[order][: self.visits(self.stages.current) - begin][
            (self.rank - begin) % self.world_size :: self.world_size
        ]
        again = () if round_ == 0 else (round_,)
        for index in map(int, mine):  # a list of them would be copied page by page to every worker
            yield Visit(index, seed_for(self.seed, "train", self.epoch, index, *again), self.stages.mask_of(index))


class EvalSampler(VisitSampler):
    """Visits `indices` (default: the current validation part) exactly once, in order, on any number of ranks.

    Ranks with fewer images than others repeat one with weight 0, so that all have equally many batches.
    """

    def __init__(self, stages: Stages, seed: int, rank: int, world_size: int, indices: Indices | None = None) -> None:
        super().__init__(stages, seed, rank, world_size)
        self.indices = indices

    def __len__(self) -> int:
        longest = len(self.stages.val(0)) if self.indices is None else len(self.indices)
        return -(-longest // self.world_size)

    def __iter__(self) -> Iterator[Visit]:
        indices = self.stages.val(self.stages.current) if self.indices is None else self.indices
        for place in range(self.rank, len(self) * self.world_size, self.world_size):
            index = int(indices[min(place, len(indices) - 1)])
            seed = seed_for(self.seed, "val", index)
            yield Visit(index, seed, self.stages.mask_of(index), float(place < len(indices)))


class ListSampler(Sampler[list[Visit]]):
    """Deals whole batches, formed beforehand from image indices, to the ranks."""

    def __init__(self, batches: list[list[int]], rank: int, world_size: int) -> None:
        self.batches = batches[rank::world_size]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Visit]]:
        for batch in self.batches:
            yield [Visit(index, 0) for index in batch]
