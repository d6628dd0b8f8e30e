"""ufm: the laboratory for the theory of neural collapse.

Closed forms of unconstrained feature models and deep linear networks, held against what optimisation finds.
"""

from ufm import (
    atlas,
    bartlett,
    central_path,
    conventions,
    frames,
    isotropic,
    lion,
    log_domain,
    losses,
    max_margin,
    metrics,
    narrow,
    perp_grad,
    plot,
    reduce,
    settings,
    sweeps,
)
from ufm.certify import Certificate, certify, escape_direction
from ufm.descent import Descent, descend
from ufm.explanations import explain
from ufm.flow import Trajectory, flow
from ufm.losses import Loss
from ufm.minimise import Minimum, Status, minimise
from ufm.objective import Params, initialize, logits, objective
from ufm.problem import Problem
from ufm.recognition import Identification, identify
from ufm.report import Report
from ufm.solve import Solution, solve
from ufm.sweeps.run import sweep
from ufm.theory.catalogue import catalogue, predict
from ufm.theory.prediction import Prediction
from ufm.theory.theorem import Theorem
from ufm.verify import verify

__version__ = "0.1.0"

__all__ = [
    "Certificate",
    "Descent",
    "Identification",
    "Loss",
    "Minimum",
    "Params",
    "Prediction",
    "Problem",
    "Report",
    "Solution",
    "Status",
    "Theorem",
    "Trajectory",
    "atlas",
    "bartlett",
    "catalogue",
    "central_path",
    "certify",
    "conventions",
    "descend",
    "escape_direction",
    "explain",
    "flow",
    "frames",
    "identify",
    "initialize",
    "isotropic",
    "lion",
    "log_domain",
    "logits",
    "losses",
    "max_margin",
    "metrics",
    "minimise",
    "narrow",
    "objective",
    "perp_grad",
    "plot",
    "predict",
    "reduce",
    "settings",
    "solve",
    "sweep",
    "sweeps",
    "verify",
]
