"""The problem: what is minimised, over which columns, its parameters and objective, and what makes it well posed.

Imports base, losses.
"""

from ufm.problem import (
    cards,  # noqa: F401  (registers the cards of its values)
    conventions,
)
from ufm.problem.classes import (
    Classes,
    ClassSizes,
    EqualClasses,
    GroupedClasses,
    class_sizes,
    classes_of,
    equal_if_known,
    grouped,
    is_balanced,
    is_one_hot,
)
from ufm.problem.columns import recognised
from ufm.problem.design import Design, constant, each_column, run_starts
from ufm.problem.general_columns import GeneralColumns, flattened, general
from ufm.problem.params import Params, initialize, logits, objective
from ufm.problem.problem import Problem
from ufm.problem.validation import check_memory

__all__ = [
    "ClassSizes",
    "Classes",
    "Design",
    "EqualClasses",
    "GeneralColumns",
    "GroupedClasses",
    "Params",
    "Problem",
    "check_memory",
    "class_sizes",
    "classes_of",
    "constant",
    "conventions",
    "each_column",
    "equal_if_known",
    "flattened",
    "general",
    "grouped",
    "initialize",
    "is_balanced",
    "is_one_hot",
    "logits",
    "objective",
    "recognised",
    "run_starts",
]


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
