"""What every HTML page of smir is made of: a frame and its look, plots as SVG, pictures as text, a folder to lie in.

None of it imports torch.
"""
