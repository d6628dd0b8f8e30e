"""Figures of what ufm returns, drawn on given axes: measured in colour, predicted black and dashed.

    question                                             function              draws
    where are class means and classifier rows?           geometry              a point, in two or three dimensions
    is it the predicted configuration?                   gram_matrices         two points or Gram matrices, and their difference
    how do modes grow?                                   singular_values       a path over a closed form
    how do metrics fall, and how fast should they?       metrics_in_time       a path with predicted rates
    how far from the minimum?                            objective_gap         a path with a predicted rate
    which phase where?                                   phase_diagram         a Dataset with predicted and measured boundaries
    what does a sweep say?                               heat_map              any variable of a Dataset over two dimensions
    how curved is f there?                               hessian_spectrum      a point with predicted multiplicities
    where do mixed targets go?                           mixup_features        a point of three mixed classes, in the plane
    what stands?                                         evidence              a Report
    how does it get there?                               animate               a Trajectory, as a GIF or a page with a player
    in the same colours                                  COLOURS series        lines of your own

Every function but `animate` takes `ax` (`axes` where it needs three), None for a new figure, and returns the axes. Legends are
beside the axes: figures of layout="constrained" make room for them. Needs matplotlib: pip install 'ufm[plot]'.

Imports base, problem, motion, theory, verification.
"""

from ufm.plot.arrows import geometry
from ufm.plot.canvas import COLOURS, series
from ufm.plot.cells import heat_map, phase_diagram
from ufm.plot.channels import mixup_features
from ufm.plot.courses import logit_singular_values, metrics_in_time, objective_gap, singular_values
from ufm.plot.curvatures import hessian_spectrum
from ufm.plot.grams import gram_matrices
from ufm.plot.moving import animate
from ufm.plot.verdicts import evidence

__all__ = [
    "COLOURS",
    "animate",
    "evidence",
    "geometry",
    "gram_matrices",
    "heat_map",
    "hessian_spectrum",
    "logit_singular_values",
    "metrics_in_time",
    "mixup_features",
    "objective_gap",
    "phase_diagram",
    "series",
    "singular_values",
]


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
