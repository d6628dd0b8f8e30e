"""W3: cross-entropy with a ridge bias, one layer, time to relative gap 1e-9, which ufm certifies by convex duality.

K = 10, n = 100, d = 512 and K = 100, n = 50, d = 1024; l2_W = 5e-4, l2_H = 1e-5, l2_b = 1e-2, float64. The peers race to the
certified bound and prove nothing. ufm's gap is to its own bound, of first order in its error: it works far below 1e-9 in value.

The history of PyTorch's L-BFGS (100 pairs by default) takes up to 8 GB of memory at the second size.
"""

from collections.abc import Iterator

from benchmarks.claims import Claim, times_faster
from benchmarks.minima import GAP, ONE_START, TORCH_LBFGS, minimum_case, minimum_rows
from benchmarks.row import Row
from benchmarks.setting import Setting

_RIDGES = {"l2_W": 5e-4, "l2_H": 1e-5, "l2_b": 1e-2}
SMALL = Setting((100,) * 10, width=512, depth=1, loss="ce", **_RIDGES)
LARGE = Setting((50,) * 100, width=1024, depth=1, loss="ce", **_RIDGES)


def rows(quick: bool, limit: float) -> Iterator[Row]:
    """Minima of both sizes; quick: K = 4, n = 10, d = 16, ridges of 5e-3."""
    if quick:
        small = Setting((10,) * 4, width=16, depth=1, loss="ce", l2_W=5e-3, l2_H=5e-3, l2_b=1e-2)
        yield from minimum_rows("W3", small, limit, configurations=4, certified=True, seeds=1)
        return
    yield from minimum_rows("W3", SMALL, limit, configurations=32, grid=8, certified=True)
    # at 60 s L-BFGS of PyTorch is far from the minimum, and the claim would stay open
    yield from minimum_rows("W3", LARGE, limit, configurations=4, grid=2, certified=True, patience=2)


def _claim(setting: Setting) -> Claim:
    text = f"W3 minimum, {setting.label}: ufm with its certificate against a torch L-BFGS loop, CPU time a configuration"
    measure = times_faster("W3", minimum_case(setting), ONE_START, TORCH_LBFGS, gap=GAP)
    return Claim(text, 200, measure)


CLAIMS = (_claim(SMALL), _claim(LARGE))
