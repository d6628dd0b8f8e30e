"""Settings of the literature as problems: what a paper trains on, built from its own numbers.

Imports base, losses, problem, search, frames.
"""

from ufm.settings import distillation, language, long_tail, mixup, multilabel

__all__ = ["distillation", "language", "long_tail", "mixup", "multilabel"]


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
