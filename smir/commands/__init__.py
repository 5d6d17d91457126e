"""The commands of `python -m smir`."""
