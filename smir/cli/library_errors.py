"""Errors of Lightning and torch that settings cause, in words that say what to change."""

import re

from lightning.fabric.utilities.exceptions import MisconfigurationException

from smir.errors import ConfigError

_ONE_VALUE = re.compile(r"Expected more than 1 value per channel when training, got input size torch\.Size\((.+)\)")
_OTHER_SIZE = re.compile(
    r"Input (height|width).* doesn't match model|Output size is too small|must be divisible by window"
    r"|Kernel size can't be greater than actual input size"
)


def as_config_error(error: BaseException) -> ConfigError | None:
    """Returns the error that a user can act on if an error comes from the settings; None for a bug.

    The parser wraps the errors of the constructors of callbacks, loggers and networks.
    """
    if (found := _ONE_VALUE.search(str(error))) is not None:
        return ConfigError(
            f"A batch-norm layer of the network gets a single value for each channel (a batch of {found[1]}), which "
            "has no variance. Raise data.batch_size, of which each device takes its share, or data.crop_size, or "
            "choose an architecture without global pooling."
        )
    if _OTHER_SIZE.search(str(error)):
        return ConfigError(
            f"The network does not take images of this size: {error} Change data.crop_size, or choose an encoder that "
            "takes images of any size."
        )
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MisconfigurationException):
            return ConfigError(f"Lightning refuses its settings (trainer.*): {cause}")
        if isinstance(cause, ModuleNotFoundError) and cause is not error:
            return ConfigError(f"The settings name a class whose package is not installed: {cause}")
        cause = cause.__cause__
    return None
