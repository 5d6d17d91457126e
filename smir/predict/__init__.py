"""Images of any size become masks, GeoTIFFs and areas: an orthomosaic is segmented in windows, as if in one pass.

`layout` places the windows, `sweep` runs and blends them, `products` writes what comes out. Uses `training` and below.
"""
