"""`python -m smir report`: from run folders to the tables and figures of the paper.

`tree` finds the runs and `stored` reads one; `starts` names what each started from, `cells` groups them and refuses to
average different runs, `estimates` has the statistics. The `*_section` files make tables and figures with `document`
and `plots`; `formats` writes them; `build` does it all in order. None of it imports torch.

Uses `runs` and `files`.
"""
