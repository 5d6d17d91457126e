"""Small versions of the costliest files stay within the time and memory that `tests/tools/readers.py` states."""

import subprocess

from words import REPOSITORY, TOOLS


def test_every_reader_stays_within_its_limits(python):
    command = [python, TOOLS / "readers.py", "--share=0.01"]
    read = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert read.returncode == 0, read.stdout + read.stderr
