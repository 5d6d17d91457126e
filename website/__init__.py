"""What `mkdocs build` makes from the code: command and class reference, API pages, source pages, and links to all."""
