"""Search: minima found from starts: roots, quasi-Newton descent, `solve`, the reduction to class sizes, max-margin directions.

How a search ended is decided by what is left at the point that it returns.

Imports base, losses, problem, equivalent.
"""

from ufm.search import (
    cards,  # noqa: F401  (registers the cards of its values)
    max_margin,
)
from ufm.search.grouped import Grouped, solve_grouped
from ufm.search.minimum import Minimum, minimise
from ufm.search.solution import Solution, solve

__all__ = ["Grouped", "Minimum", "Solution", "max_margin", "minimise", "solve", "solve_grouped"]


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
