"""Making a dataset ready on disk: the synthetic field and the tiles of an orthomosaic.

Apart from `smir.data`, so that tiling does not carry the memory of a training framework.
"""
