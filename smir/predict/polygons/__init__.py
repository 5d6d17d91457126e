"""Predicted regions as polygons for annotation tools and GIS programs.

`outlines` draws and simplifies them, `kept` keeps them on the disk until they are written, `product` is the door for
`predict`, and `prelabel` that for other rooms. Each format has a file.
"""
