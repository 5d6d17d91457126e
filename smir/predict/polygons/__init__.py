"""Predicted regions as polygons for annotation tools and GIS programs.

`outlines` draws and simplifies them, and `kept` keeps them on the disk until they are written. `predict` uses
`product`; `prelabel` is for other callers. Each format has a file.
"""
