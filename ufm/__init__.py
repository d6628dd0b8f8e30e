"""ufm: the laboratory for the theory of neural collapse.

Closed forms of unconstrained feature models and deep linear networks, held against what optimisation finds.
"""

from ufm import bartlett, central_path, conventions, frames, isotropic, lion, log_domain, metrics, narrow, reduce
from ufm.certify import Certificate, certify, escape_direction
from ufm.descent import Descent, descend
from ufm.flow import Trajectory, flow
from ufm.losses import Loss
from ufm.objective import Params, initialize, logits, objective
from ufm.problem import Problem
from ufm.report import Report
from ufm.solve import Solution, Status, solve
from ufm.theory.catalogue import catalogue, predict
from ufm.theory.prediction import Prediction
from ufm.theory.theorem import Theorem
from ufm.verify import verify

__version__ = "0.1.0"

__all__ = [
    "Certificate",
    "Descent",
    "Loss",
    "Params",
    "Prediction",
    "Problem",
    "Report",
    "Solution",
    "Status",
    "Theorem",
    "Trajectory",
    "bartlett",
    "catalogue",
    "central_path",
    "certify",
    "conventions",
    "descend",
    "escape_direction",
    "flow",
    "frames",
    "initialize",
    "isotropic",
    "lion",
    "log_domain",
    "logits",
    "metrics",
    "narrow",
    "objective",
    "predict",
    "reduce",
    "solve",
    "verify",
]
