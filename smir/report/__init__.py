"""`python -m smir report`: from run folders to the tables and figures of the paper.

`tree` finds the runs and `stored` reads one; `starts` says what each started from, `cells` groups them and refuses what
must not be averaged, `estimates` has the statistics. One file for each section makes its tables and figures (`document`
and `tables` are what they are made of, `smir.pages` what page and plots are drawn with), and `markdown`, `csv_files`,
`latex` and `page` write them; `build` does it all in order. None of it imports torch.
"""
