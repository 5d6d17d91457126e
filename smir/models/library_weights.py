"""Describes the encoder weights of timm and segmentation_models_pytorch: training, licence, normalisation."""

import dataclasses
import re

import segmentation_models_pytorch as smp
import timm

from smir.errors import ConfigError, first_few

_IMAGENET = re.compile(r"in(?:1k|12k|21k|22k)")
"""ImageNet in timm's tags, which name it by its number of classes. A tag may also name an earlier training."""


@dataclasses.dataclass(frozen=True)
class LibraryWeights:
    """Encoder weights of a library.

    Attributes:
        name: Their name there, such as `convnext_tiny.dinov3_lvd1689m` (timm: model and tag) or `resnet34.imagenet`.
        licence: Licence as timm states it; None if it states none.
        mean: Mean of the channels that the encoder was trained with, of values in [0, 1]; None if not known.
        std: Standard deviation, likewise.
        place: Repository on the Hugging Face hub, and its revision.
    """

    name: str
    licence: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    place: tuple[str, str] = dataclasses.field(default=("", ""), compare=False)

    @property
    def of_imagenet(self) -> bool:
        """True if the last training used the labels of ImageNet."""
        tag = self.name.partition(".")[2]
        return tag == "imagenet" or _IMAGENET.search(tag) is not None

    def normalised_differently(self, mean: tuple[float, ...], std: tuple[float, ...]) -> bool:
        """Returns whether the weights are known to expect another normalisation."""
        return self.mean is not None and self.std is not None and (self.mean, self.std) != (mean, std)


def library_weights(encoder: str) -> LibraryWeights:
    """Returns the weights that the library has for an encoder, without loading them.

    Args:
        encoder: Name in segmentation_models_pytorch. For a timm model, `tu-<model>`, a tag may follow:
            `tu-convnext_tiny.dinov3_lvd1689m`; without one, timm's default tag counts.

    Raises:
        ConfigError: If the library has no weights for it.
    """
    if not encoder.startswith("tu-"):
        offered = smp.encoders.encoders.get(encoder, {}).get("pretrained_settings", {})
        if "imagenet" not in offered:
            raise ConfigError(
                f"segmentation_models_pytorch has no ImageNet weights for the encoder {encoder!r}. Use another "
                "encoder, give a file as model.weights, or start from random weights."
            )
        place = offered["imagenet"]["repo_id"], offered["imagenet"]["revision"]
        return LibraryWeights(f"{encoder}.imagenet", place=place)
    model = encoder.removeprefix("tu-")
    try:
        config = timm.get_pretrained_cfg(model)
    except RuntimeError:
        config = None  # an unknown tag
    if config is None or not timm.is_model_pretrained(model):
        architecture = model.partition(".")[0]
        tags = timm.list_pretrained(f"{architecture}.*")
        there = f"It has {first_few(['tu-' + name for name in tags])}." if tags else "Use another encoder."
        raise ConfigError(f"timm has no pretrained weights for the encoder {encoder!r}. {there}")
    name = f"{config.architecture}.{config.tag}"
    place = config.hf_hub_id or f"timm/{name}", "main"
    return LibraryWeights(name, config.license or None, tuple(config.mean), tuple(config.std), place)
