"""`python -m smir check` and `stats`: a close look at every file of a dataset."""
