"""`make bench`: how fast smir is, measured side by side with the plain way of doing the same."""
