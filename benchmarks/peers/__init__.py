"""What a user writes today: one configuration a run in a Python loop, all in float64 and seeded, nothing of ufm inside.

`torch_loops` holds PyTorch with SGD, Adam and L-BFGS, `torch_batched` PyTorch over a grid by hand with `torch.bmm`, and
`scipy_lbfgsb` SciPy with a NumPy gradient. All compute the published objective from samples, layer by layer, and all race
against a target value: the clock stops at the first evaluation that reaches it, or at the limit (`race`).
"""

import importlib.util


def is_installed(package: str) -> bool:
    """Whether a peer's package is there; none of them is needed to import this one."""
    return importlib.util.find_spec(package) is not None
