"""`python -m smir report`: from run folders to the tables and figures of the paper.

`stored` reads the runs, `starts` says what each started from, `cells` groups them and refuses what must not be
averaged, `estimates` has the statistics; one file for each section makes its tables and figures, and `markdown`,
`csv_files`, `latex` and `page` write them. None of it imports torch.
"""
