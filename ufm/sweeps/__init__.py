"""Sweeps: a function of a problem at every point of a grid, by the thousand, stored and resumed.

    ufm.sweep("certified", problem, {"l2_W": ..., "l2_H": ...}, seeds=8, store="DIR")
    ufm sweep SPEC.toml --store DIR

    what      axes (of a grid), functions (known by name), spec (the same as TOML)
    how       layout (programs and chunks), program (compiled, over devices), order, work (threads, processes), store
    results   dataset (xarray), loading (from a folder), phases (predicted boundary over measured phases), sources

Imports base, losses, problem, equivalent, search, motion, metrics, duality, theory.
"""

from ufm.sweeps.dataset import failures
from ufm.sweeps.functions import FUNCTIONS
from ufm.sweeps.loading import load
from ufm.sweeps.phases import phase_diagram
from ufm.sweeps.run import sweep

__all__ = ["FUNCTIONS", "failures", "load", "phase_diagram", "sweep"]


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
