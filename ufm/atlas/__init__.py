"""The atlas of losses: what remains at the minimum of the balanced one-layer model, and where it vanishes, for every loss.

Imports base, losses, problem, search, theory.
"""

from ufm.atlas.report import HEADER, AtlasReport, Row
from ufm.atlas.table import COSINE, atlas, zoo

__all__ = ["COSINE", "HEADER", "AtlasReport", "Row", "atlas", "zoo"]


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
