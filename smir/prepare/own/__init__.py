"""`python -m smir prepare folder`: a user's own images and labels become a dataset."""
