"""Files on disk: atomic writes, names, locks, and limits of disk space and memory.

Uses only `errors`.
"""
