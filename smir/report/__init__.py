"""`python -m smir report`: from run folders to the tables and figures of the paper.

`tree` finds the runs and `stored` reads one; `starts` says what each started from, `cells` groups them and refuses what
must not be averaged, `estimates` has the statistics. The `*_section` files make tables and figures, of what `document`
and `plots` offer; `formats` and `page` write them; `build` does it all in order. None of it imports torch.
"""
