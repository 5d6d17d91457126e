"""`python -m smir prepare`: turns images, labels and archives into a dataset. Uses `predict`, `data` and below."""
