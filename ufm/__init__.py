"""ufm: the laboratory for the theory of neural collapse.

Closed forms of unconstrained feature models and deep linear networks, held against what optimisation finds.

    a problem            Problem, Params, Loss, objective, logits; losses, settings (of papers), conventions (normalisations)
    its minimum          predict (closed form), solve (search), certify (a bound), prove, escape_direction, minimise (any function)
    what is proved       proofs (roots, least values, critical points, identities, refutations of instances, in exact numbers)
    what it looks like   identify, metrics, frames, plot, explain
    features of yours    features (collapse of given features, last layers, long tails, tokens)
    how it gets there    flow, descend, initialize, central_path, log_domain, lion, perp_grad, max_margin
    smaller and equal    equivalent (canonical, merged, pooled, narrow, ... problems of the same minimum or the same run)
    many at once         sweep, sweeps (phase diagrams, stores), atlas (all losses)
    the claims           catalogue, verify, refutation (the counterexample of a refuted one)
    what comes back      Prediction, Solution, Minimum, Status, Certificate, Proof, Identification, Trajectory, Descent, Theorem,
                         Report, Counterexample
"""

from ufm import atlas, equivalent, features, frames, losses, metrics, plot, proofs, settings, sweeps
from ufm.base.status import Status
from ufm.duality import Certificate, certify, escape_direction
from ufm.losses import Loss
from ufm.motion import Descent, Trajectory, central_path, descend, flow, lion, log_domain, perp_grad
from ufm.problem import Params, Problem, conventions, initialize, logits, objective
from ufm.proofs import Proof, prove
from ufm.recognition import Identification, identify
from ufm.search import Minimum, Solution, max_margin, minimise, solve
from ufm.show import explain
from ufm.sweeps import sweep
from ufm.theory import Prediction, Theorem, catalogue, predict
from ufm.verification import Counterexample, Report, refutation, verify

__version__ = "0.1.0"

__all__ = [
    "Certificate",
    "Counterexample",
    "Descent",
    "Identification",
    "Loss",
    "Minimum",
    "Params",
    "Prediction",
    "Problem",
    "Proof",
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
    "features",
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
    "proofs",
    "prove",
    "refutation",
    "settings",
    "solve",
    "sweep",
    "sweeps",
    "verify",
]


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
