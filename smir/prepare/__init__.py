"""`python -m smir prepare`: files of others become a dataset. Uses `predict`, `data` and below."""
