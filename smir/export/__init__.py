"""`python -m smir export`: from a checkpoint to files that run without smir.

`trained` reads the checkpoint and its run's records, `images` finds images to check on. `weights_files`, `program` and
`onnx_file` write the formats. `agreement` compares an exported network with PyTorch, `card` writes the model card, and
`scripts` holds the programs that are copied along.

Uses `training`, `data` and below.
"""
