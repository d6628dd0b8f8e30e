"""The problem: what is minimised, over which columns, and what makes it well posed."""

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
from ufm.problem.general import GeneralColumns, flattened, general
from ufm.problem.problem import Problem
from ufm.problem.validation import check_memory

__all__ = [
    "ClassSizes",
    "Classes",
    "Design",
    "EqualClasses",
    "GeneralColumns",
    "GroupedClasses",
    "Problem",
    "check_memory",
    "class_sizes",
    "classes_of",
    "constant",
    "each_column",
    "equal_if_known",
    "flattened",
    "general",
    "grouped",
    "is_balanced",
    "is_one_hot",
    "recognised",
    "run_starts",
]
