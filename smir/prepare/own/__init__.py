"""`python -m smir prepare folder`: a user's own images and labels become a dataset.

A `Field` goes through five stages, one file each: read, tile, label, split, write.
"""
