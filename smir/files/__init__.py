"""Files on disk: atomic writes, names, locks, and limits of disk space and memory.

`pages` makes what people look at: HTML, SVG, tables and overlays. Uses only `errors`, and `pages` also `classes`.
"""
