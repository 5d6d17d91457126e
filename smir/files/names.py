"""Names of files as people read them."""

import unicodedata


def composed(name: str) -> str:
    """Returns a name with composed letters: macOS stores `ä` as two characters that look the same."""
    return unicodedata.normalize("NFC", name)
