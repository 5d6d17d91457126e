"""Images of any size, in windows: an orthomosaic is segmented piece by piece, with the logits of one big pass.

`options` has the settings, `smir.data.reading.choice` tells which images go this way, `sources`, `scratch` and `geotiff` read
pixels, `layout` says where the windows lie, `context` measures how far a network looks, `sweep` runs it, and `products`
and `preview` are what comes out.
"""
