"""N samples as K class means and pooled residuals, or as the rows that move them (derived).

For one-hot MSE (R1) a class's samples may be mixed orthogonally, H -> [X, R] with x_k = sqrt(n_k) mean_k and r = min(d, N - K)
residual columns (min(2d, N - K) with a proximity term) of target and intercept 0. For any MSE targets (R1b) min(N, d + K + 1)
columns of unit multiplicity with targets Y T and real intercepts 1^T T do, T a basis of the rows of [H; Y; 1; H0]. Every
optimiser whose updates commute with isometries of the columns then takes, lifted, the very steps it takes on the samples.
Steps here are stable ones: beyond the edge of stability rounding errors grow as any others do.
"""

import dataclasses

import numpy as np

from ufm.equivalent.columns import compress_columns, pool_samples
from ufm.losses import MSE, is_loss
from ufm.problem import Problem, class_sizes, classes_of
from ufm.problem.params import Params
from ufm.theory import statements
from ufm.theory.reductions.runs import Run, as_it_is, in_full, lifted, run_of
from ufm.theory.theorem import Assumption

_COUNTS = (7, 1, 4)
_WIDTHS = {1: (4,), 2: (4, 3), 3: (4, 5, 3)}


def predict_pooled(run: Run) -> Params:
    """N samples of one-hot MSE run as K class means and min(d, N - K) pooled residual columns, from any start and at any depth:
    1,000 lifted steps of gradient descent, heavy ball, Nesterov, normalised descent and polar-factor (Muon) steps are the steps on
    the samples.
    """
    return lifted(pool_samples(run.problem, run.params), run.rate)


def predict_compressed(run: Run) -> Params:
    """An MSE problem of N columns with any targets runs as one of min(N, d + K + 1) columns with real intercepts, 2d in the place
    of d with a proximity term, under the same optimisers.
    """
    return lifted(compress_columns(run.problem, run.params), run.rate)


def _numbers(depth: int, columns: int, rng: np.random.Generator, bias: str, proximity: bool) -> dict:
    l2_H, l2_b = rng.uniform(0.002, 0.02, size=2)
    near = {"H0": rng.normal(size=(4, columns)), "beta": rng.uniform(0.01, 0.1)} if proximity else {}
    l2_W = rng.uniform(0.002, 0.02, size=depth)
    return near | {"l2_W": l2_W, "l2_H": l2_H, "l2_b": l2_b if bias == "ridge" else 0.0, "bias": bias}


def one_hot(depth: int, rng: np.random.Generator, bias="none", proximity=False, counts=_COUNTS, multiplicity=None) -> Run:
    """Classes of any sizes, random ridges and start."""
    choices = _numbers(depth, sum(counts), rng, bias, proximity)
    problem = Problem.imbalanced(counts, _WIDTHS[depth], multiplicity=multiplicity, **choices)
    # equal classes are classes of any sizes too: cases of one structure then share a program
    return run_of(dataclasses.replace(problem, design=class_sizes(classes_of(problem.design))), rng, 0.8)


def any_targets(rng: np.random.Generator) -> Run:
    """20 columns of Gaussian targets and fractional multiplicities at M = 2, which compress to 2d + K + 1 = 12."""
    choices = _numbers(2, 20, rng, "ridge", True) | {"multiplicity": rng.choice([0.5, 1.0, 2.0], size=20), "groups": (1,) * 20}
    return run_of(Problem.from_targets(rng.normal(size=(3, 20)), _WIDTHS[2], **choices), rng, 0.8, 0.02, 0.06)


def pooled_cases() -> dict[str, Run]:
    """Depths 1 to 3, every bias mode, proximity, a class of one sample; equal class sizes from unequal multiplicities."""
    rng = np.random.default_rng(0)
    equal = np.repeat(4 / np.array(_COUNTS), _COUNTS)
    return {
        "M=1 n=(7,1,4)": one_hot(1, rng),
        "M=1 balanced by multiplicity": one_hot(1, rng, multiplicity=equal),
        "M=2 n=(4,4,4) free bias, proximity": one_hot(2, rng, "free", True, (4, 4, 4)),
        "M=3 n=(7,1,4) ridge on the bias": one_hot(3, rng, "ridge"),
    }


def compressed_cases() -> dict[str, Run]:
    """M = 2 with a bias and a proximity term: weak, and strong enough to hold the features."""
    rng = np.random.default_rng(1)
    weak, strong = any_targets(rng), any_targets(rng)
    strong = strong._replace(problem=strong.problem.replace(beta=1.0, groups=(1,) * 20))
    return {"weak proximity": weak, "strong proximity": strong}


_SQUARED = Assumption(
    "squared error with free features and one weight",
    lambda run: is_loss(run.problem.loss, MSE) and run.problem.features == "free" and np.ptp(run.problem.weight) == 0,
)

THEOREMS = (
    statements.trajectory(
        "sample-reduction", "derived; invariance of the squared error under orthogonal mixing of a class's samples",
        predict_pooled, as_it_is, pooled_cases, lambda rng: one_hot(1, rng, multiplicity=rng.uniform(0.5, 3, size=sum(_COUNTS))),
        (_SQUARED,), path=in_full, tolerance=1e-11,
        notes="Adam, Lion, sign descent, mini-batches and cross-entropy break it.",
    ),
    statements.trajectory(
        "arbitrary-target-reduction", "derived", predict_compressed, as_it_is, compressed_cases, any_targets, (_SQUARED,),
        path=in_full, tolerance=1e-11,
    ),
)  # fmt: skip
