"""`python -m smir export`: from a checkpoint to files that run without smir.

`source` reads the checkpoint and what its run says of it, `images` finds images to check on. Each format has a file:
`smp_files`, `timm_file`, `pt2_file` and `onnx_file`, of which the last two share `program`. `agreement` compares what
an exported network computes with PyTorch, `card` tells of it all, and `scripts` holds the programs that go along.
"""
