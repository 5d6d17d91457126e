"""`python -m benchmarks.onnx_speed FILE THREADS SIDE`: how fast an ONNX file runs, in a process of its own.

Prints the median time of an image in milliseconds, and the largest growth of the process in megabytes.
"""

import statistics
import sys
import time

import numpy as np
import onnxruntime

from benchmarks.process_memory import kilobytes

WARM_UP, ROUNDS = 5, 30


def _main(file: str, threads: int, side: int) -> None:
    before = kilobytes("VmRSS")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).integers(0, 256, (1, 3, side, side), dtype=np.uint8)
    times = []
    for number in range(WARM_UP + ROUNDS):
        start = time.perf_counter()
        session.run(None, {"image": image})
        if number >= WARM_UP:
            times.append(1000 * (time.perf_counter() - start))
    grown = kilobytes("VmHWM") - before
    print(statistics.median(times), 1024 * grown / 1e6)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
