"""`python -m smir prepare synthetic`: a field of crop and weeds, drawn by code."""
