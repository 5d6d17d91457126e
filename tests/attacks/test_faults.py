"""In every command, one system call fails, as on a full or broken disk; `make faults` lets each of them fail."""

import os
import subprocess
import sys

import pytest
from words import REPOSITORY, SUPPORT, TOOLS


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux asks another process about system calls")
def test_a_refused_system_call_is_reported_and_a_retry_writes_the_same_files(python, tmp_path):
    paths = {"PYTHONPATH": os.pathsep.join([str(SUPPORT), str(REPOSITORY)]), "TMPDIR": str(tmp_path)}
    command = [python, TOOLS / "faults.py", "--sample=1"]
    swept = subprocess.run(command, env=os.environ | paths, capture_output=True, text=True)
    assert swept.returncode == 0, swept.stdout + swept.stderr
    assert swept.stdout.count(" | 1 | ") >= 16
