"""Show: what a value, a status or a verdict means in words, with what the whole laboratory knows of it.

Values draw their own cards, in the `cards.py` of their room.

Imports base, problem, duality, theory, verification.
"""

from ufm.show import words  # noqa: F401  (registers the cards of its values)
from ufm.show.explanation import explain

__all__ = ["explain"]


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
