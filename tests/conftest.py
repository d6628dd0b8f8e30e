import jax
import pytest
from hypothesis import settings

from ufm.base.environment import prefer_quick_compilation
from ufm.base.programs import make_room, map_limit, memory_maps

prefer_quick_compilation(short_runs=True)
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
# the same examples in every run: a suite that is green once stays green (`ufm verify --cases` is there to search)
settings.register_profile("ufm", derandomize=True, database=None)
settings.load_profile("ufm")

MAPS = pytest.StashKey[int]()


@pytest.fixture(autouse=True)
def room_for_programs(request):
    """No test leaves half of the memory maps taken that a process may have: programs that nobody needs any more are let go."""
    yield
    maps, limit = memory_maps(), map_limit()
    request.config.stash[MAPS] = max(maps, request.config.stash.get(MAPS, 0))
    make_room()
    assert limit is None or maps < limit / 2, f"{maps} memory maps, of which a process has {limit}"


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["maps"] = session.config.stash.get(MAPS, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    maps = getattr(node, "workeroutput", {}).get("maps", 0)
    node.config.stash[MAPS] = max(maps, node.config.stash.get(MAPS, 0))


def pytest_terminal_summary(terminalreporter, config):
    terminalreporter.write_line(f"memory maps: {config.stash.get(MAPS, 0)} in the fullest process, of {map_limit()}")
