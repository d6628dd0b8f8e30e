"""The atlas of losses: what remains at the minimum of the balanced one-layer model, and where it vanishes, for every loss."""

from ufm.atlas.report import HEADER, AtlasReport, Row
from ufm.atlas.table import COSINE, add_arguments, atlas, run, zoo

__all__ = ["COSINE", "HEADER", "AtlasReport", "Row", "add_arguments", "atlas", "run", "zoo"]
