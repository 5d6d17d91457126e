"""`python -m smir choose`: which images to label.

`pool` lists the images and those that have labels. `measures` runs the encoder on every image, `coverage` chooses, and
`folder` writes the list, the table, the pictures and the links.

Uses `inspect`, `prepare`, `training` and below.
"""
