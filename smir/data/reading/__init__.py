"""From files to samples: `decode` reads images and labels, `pairs` makes samples of them, `samplers` order the visits.

`safe_open` refuses damaged files. `listing` makes the lists of a dataset, `lists` and `file_list` hold them, `cache`
keeps decoded images, `transforms` crops them, `screening` finds unusable files. `predicted` reads images to predict;
`opening` is the door to those of any size: a `raster` is read in rectangles, by `geotiff` or by `decoded_raster`.
"""
