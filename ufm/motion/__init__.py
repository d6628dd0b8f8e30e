"""Motion: how a minimum is reached: gradient flow, discrete optimisers, the log domain of late training, the central path.

Optimisers are optax transformations: `lion`, `perp_grad`.

Imports base, losses, problem.
"""

from ufm.motion import (
    cards,  # noqa: F401  (registers the cards of its values)
    central_path,
    lion,
    log_domain,
    perp_grad,
)
from ufm.motion.descent import Descent, descend
from ufm.motion.log_domain import LogDescent
from ufm.motion.trajectory import Trajectory, flow

__all__ = ["Descent", "LogDescent", "Trajectory", "central_path", "descend", "flow", "lion", "log_domain", "perp_grad"]


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
