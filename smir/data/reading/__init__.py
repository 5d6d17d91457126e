"""Reading: files to arrays, lists of files, pairs, caches, samplers, and images of any size in rectangles."""
