"""Memory of a long run: python tests/tools/memory.py (minutes). Prints what docs/robustness.md records.

A selective run of 50 epochs in 5 stages, with four scorings; the memory of its process at the end of every epoch.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from words import REPOSITORY, selective_words

EPOCHS, STAGES = 50, 5
MOST_GROWTH = 0.02


def memory(pid: int) -> int:
    """Returns the resident memory of a process, in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def measure(data: Path, root: Path) -> list[int]:
    """Returns the memory at the end of every epoch of a run."""
    words = [f"--trainer.max_epochs={EPOCHS}", f"--trainer.callbacks.num_stages={STAGES}", f"--run.root={root}"]
    command = [sys.executable, "-m", "smir", *selective_words(data, *words)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    with (root / "log").open("w") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    metrics = root / "demo/selective/seed0/metrics.csv"
    found: list[int] = []
    while process.poll() is None:
        rows = metrics.read_text().count("\n") - 1 if metrics.is_file() else 0
        if rows > len(found):
            found += [memory(process.pid)] * (rows - len(found))
        time.sleep(0.01)
    if process.returncode:
        raise SystemExit((root / "log").read_text()[-2000:])
    return found


def main() -> None:
    """Compares the last ten epochs with the ten that follow the first scoring."""
    from smir.prepare.synthetic.dataset import write_dataset
    from smir.prepare.tiling import tile_image

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_dataset(root, seed=0, width=1536, height=1024, train_tiles=10, val_tiles=2, test_tiles=3)
        tile_image(root / "nassar/orthomosaic/data/RGB_reference_png.png", root / "nassar/ortho_tiles")
        found = measure(root, root)
    early, late = statistics.median(found[10:20]), statistics.median(found[-10:])
    growth = late / early - 1
    print(f"epochs 11 to 20: {early / 1024:.1f} MiB; last ten of {len(found)}: {late / 1024:.1f} MiB; {growth:+.2%}")
    sys.exit(growth > MOST_GROWTH)


if __name__ == "__main__":
    main()
