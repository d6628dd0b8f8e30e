"""The figures of the README, from real runs: `python notebooks/figures.py`.

At the top, left: phases of imbalanced squared error as L-BFGS finds them, and the boundaries that the closed form draws. Middle:
singular values along gradient flow against the logistic curves of Saxe et al. (2014). Right: class means and classifier of a
measured minimum of cross-entropy with three classes, one of them rarer. The gallery is taken out of the notebooks as they stand.
"""

import base64
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import ufm
from ufm.theory.dynamics import logistic

FOLDER = Path(__file__).parent
FILE = FOLDER / "figures" / "predicted_measured.png"
GALLERY = {  # the figure of a notebook, counted from 0
    "claim_map": ("03_a_claim_that_fails", 2),
    "perturbation": ("04_perturbation", 0),
    "rates": ("05_how_it_gets_there", 0),
    "mixup": ("06_mixup", 0),
    "own_loss": ("10_your_own", 1),
}


def main() -> None:
    """Run, draw, save."""
    jax.config.update("jax_enable_x64", True)
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(15.5, 3.9), layout="compressed", dpi=80)
    ufm.plot.phase_diagram(phases(), ax=left)
    left.set_title("what is left of the classes")
    modes(middle)
    middle.set_title("how they are learned")
    geometry(right)
    right.set_title("where they end")
    figure.savefig(FILE)
    for name, (notebook, index) in GALLERY.items():
        (FOLDER / "figures" / f"{name}.png").write_bytes(figures_of(notebook)[index])


def figures_of(notebook: str) -> list[bytes]:
    """The figures that a notebook shows, in order."""
    import nbformat

    cells = nbformat.read(FOLDER / f"{notebook}.ipynb", as_version=4).cells
    shown = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    return [base64.b64decode(data["image/png"]) for data in shown if "image/png" in data]


def phases():
    """Rank of the logit matrix over imbalance and ridge: measured in every cell, boundaries in closed form."""
    problem = ufm.Problem.imbalanced((100, 100, 10, 10), 8, l2_W=5e-4, l2_H=5e-4).collapsed()
    ratio, ridge = np.geomspace(1, 100, 21), np.geomspace(1e-2, 30, 26)
    found = ufm.sweeps.phase_diagram(problem, ("counts ratio", ratio), ("l2_H", ridge))
    found.phase.attrs |= {"flag_values": [0, 2, 4], "flag_meanings": "nothing frequent_classes all_classes"}
    return found


def modes(ax) -> None:
    """Singular values of the logit matrix from a balanced spectral start, against p' = (2/N) p (sqrt(n_k) - N l - p)."""
    counts, ridge = np.array([60.0, 30.0, 12.0, 4.0]), 1e-2
    N = counts.sum()
    problem = ufm.Problem.from_targets(jnp.eye(4), 8, multiplicity=counts, l2_W=ridge, l2_H=ridge)
    frame = np.linalg.qr(np.random.default_rng(0).standard_normal((8, 4)))[0] * 0.05
    start = ufm.Params((jnp.asarray(frame.T),), jnp.asarray(frame), None)
    ts = np.linspace(0, 200, 60)
    path = ufm.flow(problem, start, ts, record=ufm.plot.logit_singular_values)
    closed = logistic(jnp.full(4, 0.05**2), jnp.sqrt(counts) - N * ridge, 2 / N, jnp.asarray(ts))
    ufm.plot.singular_values(problem, path, closed_form=-np.sort(-closed, axis=1), ax=ax)


def geometry(ax) -> None:
    """Class means and classifier of a minimum that optimisation finds."""
    problem = ufm.Problem.imbalanced((20, 20, 5), 3, loss="ce", l2_W=5e-3, l2_H=5e-3)
    ufm.plot.geometry(problem, ufm.solve(problem, jax.random.key(1), columns="raw"), dims=2, ax=ax)


if __name__ == "__main__":
    main()
