"""Files on disk: written whole or not at all, named, locked, and kept within the space and memory that there is.

Uses nothing of smir but errors.
"""
