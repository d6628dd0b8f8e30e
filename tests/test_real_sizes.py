"""ImageNet's own number of classes and samples: everything costs what 1000 classes cost, within 1 GB."""

import subprocess
import sys

PROGRAM = """
import re
from pathlib import Path

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)
import ufm

counts = tuple(int(n) for n in np.sort(np.random.default_rng(0).integers(732, 1301, 1000))[::-1])
ridges = {"l2_W": 1e-4, "l2_H": 1e-7, "columns": "class"}
balanced = ufm.Problem.balanced(1000, 1281, 1000, loss="ce", **ridges)
predicted = ufm.predict(balanced)
assert predicted.theorem == "ce-one-layer" and predicted.accuracy < 1e-9
assert 0 <= ufm.certify(balanced, predicted.params).relative_gap < 1e-8
tail = ufm.Problem.imbalanced(counts, 128, **ridges)
assert float(tail.samples) == sum(counts) > 1e6 and tail.columns == 1000
least, found = ufm.predict(tail), ufm.solve(tail, jax.random.key(0), max_steps=60)
assert least.theorem == "mse-imbalanced-deep" and 0 <= found.value / least.value - 1 < 0.05
bound = ufm.certify(tail, found.params)
assert bound.lower_bound <= least.value * (1 + 1e-12) and bound.gap >= 0
# not ru_maxrss: a process starts with that of the one that made it, and a worker of the tests has grown
status = Path("/proc/self/status")
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read_text())[1]) if status.exists() else 0
assert peak < 1e6, peak
"""


def test_a_million_images_of_a_thousand_classes_build_predict_solve_and_certify_within_a_gigabyte():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
