"""Images of any size become masks, GeoTIFFs and areas: an orthomosaic is segmented in windows, as if in one pass.

`window_layout` places the windows, `sweep` runs and blends them; `products` writes what comes out. `regions` joins
connected pixels, and `polygons/` writes them for other programs. Uses `training` and below.
"""
