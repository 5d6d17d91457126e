"""The protocols of a module and a datamodule that `SelectiveMasking` can use."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol

from torch import Tensor
from typing_extensions import get_protocol_members

from smir.errors import ConfigError
from smir.method.image_scores import ImageScore
from smir.method.masking import MaskPolicy
from smir.method.preprocessing import Preprocessing
from smir.method.scoring import Scored, ScoredPatches
from smir.method.stages import Stages


class ScoringModule(Protocol):
    """A LightningModule that scores the patches of a batch of views."""

    def score_views(
        self,
        views: Tensor,
        keys: Sequence[int],
        *,
        num_samples: int,
        seed: int,
        stage: int,
        policy: MaskPolicy,
        over: ScoredPatches,
        paired: bool,
        score: ImageScore | None,
    ) -> Scored:
        """Scores every patch of a batch of whole views, given as the `image` (B, ...) of `scoring_dataloader`.

        The options are those of `smir.method.score_views`.
        """


class StagedData(Protocol):
    """A LightningDataModule whose pool of unlabelled images is visited in stages.

    In every epoch, its training loader visits `stages.train(stages.current)` with the masks `stages.mask_of(index)`,
    where `stages` is the clock that `use_stages` returned.
    """

    seed: int
    """Seed of the run."""
    preprocessing: Preprocessing
    """Defines the patches of a view, and turns normalised images back into colours."""

    def use_stages(self, num_stages: int) -> Stages:
        """Splits the pool into stages; returns the clock that the loaders follow."""

    def images(self, name: Literal["pool"]) -> Sequence[str]:
        """Returns the names of the images of the pool, by index."""

    def view_shapes(self, indices: Sequence[int]) -> Sequence[tuple[int, int]]:
        """Returns height and width of the whole view of images of the pool."""

    def scoring_dataloader(self, indices: Sequence[int], batch_size: int) -> Iterable[dict[str, Tensor]]:
        """Returns this rank's batches of whole views of one size: `image` (B, ...) and `index` (B,)."""


def refuse_incomplete(owner: object, protocol: type[Any], ours: str) -> None:
    """Raises a ConfigError if an object lacks members of a protocol; `ours` is a class that has them."""
    missing = sorted(name for name in get_protocol_members(protocol) if not hasattr(owner, name))
    if missing:
        raise ConfigError(
            f"SelectiveMasking needs {', '.join(missing)}, which {type(owner).__name__} does not have. Use {ours}, or "
            f"add what smir.training.staged.{protocol.__name__} describes."
        )
