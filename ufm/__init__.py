"""ufm: the laboratory for the theory of neural collapse.

Closed forms of unconstrained feature models and deep linear networks, held against what optimisation finds.

    a problem            Problem, Params, Loss, objective, logits; losses, settings (of papers), conventions (normalisations)
    its minimum          predict (closed form), solve (search), certify (proof), escape_direction, minimise (any function)
    what it looks like   identify, metrics, frames, plot, explain
    how it gets there    flow, descend, initialize, central_path, log_domain, lion, perp_grad, max_margin
    smaller and equal    equivalent (canonical, merged, pooled, narrow, ... problems of the same minimum or the same run)
    many at once         sweep, sweeps (phase diagrams, stores), atlas (all losses)
    the claims           catalogue, verify
    what comes back      Prediction, Solution, Minimum, Status, Certificate, Identification, Trajectory, Descent, Theorem, Report
"""

from ufm import (
    atlas,
    central_path,
    conventions,
    equivalent,
    frames,
    lion,
    log_domain,
    losses,
    max_margin,
    metrics,
    perp_grad,
    plot,
    settings,
    sweeps,
)
from ufm.descent import Descent, descend
from ufm.duality import Certificate, certify, escape_direction
from ufm.explanations import explain
from ufm.flow import Trajectory, flow
from ufm.losses import Loss
from ufm.minimise import Minimum, minimise
from ufm.objective import Params, initialize, logits, objective
from ufm.problem import Problem
from ufm.recognition import Identification, identify
from ufm.report import Report
from ufm.solve import Solution, solve
from ufm.status import Status
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
    "catalogue",
    "central_path",
    "certify",
    "conventions",
    "descend",
    "equivalent",
    "escape_direction",
    "explain",
    "flow",
    "frames",
    "identify",
    "initialize",
    "lion",
    "log_domain",
    "logits",
    "losses",
    "max_margin",
    "metrics",
    "minimise",
    "objective",
    "perp_grad",
    "plot",
    "predict",
    "settings",
    "solve",
    "sweep",
    "sweeps",
    "verify",
]


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
