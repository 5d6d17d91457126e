"""`python -m smir inspect`: what a network does on images, as one page.

`images` says which images, `batches` reads them in batches of one size, `ranking` keeps the worst few of many. Then,
for each of the two tasks: `losses` takes in patch losses and `losses_page` shows them; `labels` takes in predictions,
`regions` finds where they contradict the labels, and `labels_page` shows them, by the HTML in `templates`. `run` puts
all together. Memory does not grow with the number of images but for a few numbers of each.
"""
