"""Names of files as people see them."""

import unicodedata


def same(name: str) -> str:
    """Writes a name with composed letters: macOS takes `ä` apart, other systems do not, and both look alike."""
    return unicodedata.normalize("NFC", name)
