"""Pages that `mkdocs build` makes from the code: references of commands and classes, API, sources, and links to all."""
