"""`python -m smir inspect`: shows on one page what a network does on images.

`images` chooses the images, `batches` reads them in batches of one size, `ranking` keeps the worst few. `losses`
collects patch losses, and `losses_page` shows them; `labels` collects predictions, `regions` finds where they
contradict the labels, and `labels_page` shows them, with the HTML in `templates`. `run` puts all together. Only a few
numbers per image stay in memory.

Uses `training`, `data` and below.
"""
