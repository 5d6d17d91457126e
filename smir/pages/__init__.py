"""Pages and pictures for people: HTML, SVG, class colours over images, panels of pictures.

Uses `files` and the root files.
"""
