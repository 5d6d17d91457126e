"""Pages and pictures for people: HTML from templates, SVG, class colours over images, panels of pictures.

Uses `files`, `classes` and `errors`.
"""
