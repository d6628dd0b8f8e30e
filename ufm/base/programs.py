"""Programs: the room that compiled programs take, and letting go of them before it runs out.

XLA keeps every program it compiles for a CPU in memory maps of its own, about a hundred for one search, and Linux gives a
process `vm.max_map_count` of them, 65,530 as a rule: from there on compilation fails, or the process dies. JAX keeps all programs
as long as their functions live, so a loop over many shapes meets that limit. Programs are made again when they are needed again.
"""

from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ufm.base.checks import is_traced

QUICK = {"xla_backend_optimization_level": 0}
"""Compiler options of programs that run once or twice, shortly: they compile in half the time. Not for programs within others."""

_MAPS, _LIMIT = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
SHARE = 0.25  # of the limit; one search compiles less than a hundredth of it


def memory_maps() -> int:
    """How many memory maps this process has; 0 where the system does not say."""
    try:
        return _MAPS.read_bytes().count(b"\n")
    except OSError:
        return 0


@cache
def map_limit() -> int | None:
    """How many memory maps a process may have; None where the system does not say."""
    try:
        return int(_LIMIT.read_text())
    except (OSError, ValueError):
        return None


def make_room() -> bool:
    """Let go of all compiled programs of this process where their maps take a quarter of what the system allows.

    Returns:
      Whether they were let go.
    """
    limit = map_limit()
    if limit is None or memory_maps() <= SHARE * limit:
        return False
    _make_room_for.cache_clear()
    jax.clear_caches()
    return True


def make_room_for(*values: Any) -> None:
    """`make_room` where a program is about to be compiled: for values whose structure and shapes were not seen before.

    Looking costs some milliseconds, so known shapes are not looked for; nothing happens under a transformation.
    """
    if not is_traced(values):
        leaves, structure = jax.tree.flatten(values)
        _make_room_for(structure, tuple(np.shape(x) for x in leaves))


@lru_cache(4096)
def _make_room_for(structure: Any, shapes: tuple) -> None:
    make_room()
