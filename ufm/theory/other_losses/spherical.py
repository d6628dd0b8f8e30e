"""Log-spherical and log-Taylor softmax: collapse whose classifier is no simplex.

Both have loss(z; y) >= psi(z_y), with equality where the other logits are q: q = 0 for log-spherical, q = -1 for log-Taylor
(the lowest point of T(z) = 1 + z + z^2/2). As |Z|_* >= sum_i |z_{y_i, i}|/sqrt(n), for every n >= 1 samples a class

    f >= min_o psi(o) + c K |o|,    log-spherical: psi(o) = log((o^2 + K eps)/(o^2 + eps)),  log-Taylor: log(1 + (K-1)/(2 T(o)))

Log-spherical attains it at Z = o I, an orthogonal frame, up to a sign for each sample: its classes collapse to +h and -h.
Log-Taylor attains it where o >= K - 1, at a = o + 1, b = o - (K - 1). For larger c the simplex was found
lowest, or, for many classes, a simplex with negative mean (in u = 1 + z_y > v = 1 + z_j); neither is proved.
"""

from fractions import Fraction
from functools import partial

import jax
import jax.numpy as jnp

from ufm.losses import log_spherical, log_taylor, value_of
from ufm.losses.spherical import LogSpherical
from ufm.problem import Problem
from ufm.proofs import Less, Proof, order, root
from ufm.proofs.expressions import Expression, log, number, sqrt, x
from ufm.search.roots import increasing_root
from ufm.search.symmetric import reduced
from ufm.theory.assumptions import has_loss
from ufm.theory.other_losses.contrastive import lowest, on_simplex
from ufm.theory.other_losses.measured import collapse_theorem, measure
from ufm.theory.prediction import Prediction
from ufm.theory.proving import PRICE, exactly, least_margin, priced
from ufm.theory.symmetric import price_of, symmetric_prediction


def predict_spherical(problem: Problem) -> Prediction:
    """Log-spherical softmax: features and classifier are an orthogonal frame, not a simplex, and each sample is free to take -h for
    h, so that classes collapse up to sign; zero from a transition of first order on.

    a = b = o, the lowest point of psi(o) + c K o.
    """
    K, c = problem.classes, price_of(problem)
    eps = value_of(problem.loss, LogSpherical).eps

    def F(o: jax.Array, c: jax.Array) -> jax.Array:
        return jnp.log1p((K - 1) * eps / (o**2 + eps)) + c * K * o

    o = lowest(F, c)
    return symmetric_prediction(problem, o, o, F(o, c), unique=o == 0)


def predict_taylor(problem: Problem) -> Prediction:
    """Log-Taylor softmax: for small c every wrong logit is exactly -1 and the classifier a simplex plus a mean (a = o + 1, b = o -
    K + 1); for larger c the simplex, for many classes with a negative mean; zero from c = 1/K on.

    (o + 1, o - K + 1) at the lowest o of log(1 + (K-1)/(1 + (1+o)^2)) + c K o where o >= K - 1; else the lower of the best
    simplex and (u - v, u - 1 + (K-1)(v - 1)) with r u^2 - 2u + r = 0, r = (K-2)/(K-1) v/(1+v^2), v = c (1 + u^2 + (K-1)(1+v^2)).
    """
    K, c = problem.classes, price_of(problem)

    def F(o: jax.Array, c: jax.Array) -> jax.Array:
        return jnp.log1p((K - 1) / (1 + (1 + o) ** 2)) + c * K * o

    def u_of(v: jax.Array) -> jax.Array:
        r = max(K - 2, 1) / (K - 1) * v / (1 + v**2)
        return (1 + jnp.sqrt(1 - r**2)) / r

    def excess(v: jax.Array, c: jax.Array) -> jax.Array:
        return v / (1 + u_of(v) ** 2 + (K - 1) * (1 + v**2)) - c

    o = lowest(F, c)
    proved = o >= K - 1
    v = increasing_root(excess, jnp.full_like(c, 1e-9), jnp.ones_like(c), c)
    u = u_of(v)
    low = u - 1 + (K - 1) * (v - 1)
    below = reduced(problem.loss, K, jnp.stack([u - v, low]), c)
    a, value = on_simplex(problem)
    sinks = (K > 2) & (low < 0) & (u > v) & (below < value) & ~proved
    rows = ((o + 1, u - v, a), (o - (K - 1), low, 0), (F(o, c), below, value))
    return symmetric_prediction(problem, *(jnp.where(proved, x, jnp.where(sinks, y, z)) for x, y, z in rows))


def _spherical(problem: Problem) -> Expression:
    eps = exactly(value_of(problem.loss, LogSpherical).eps)
    return log(1 + (problem.classes - 1) * eps / (x**2 + eps))


def _sunk(problem: Problem) -> Proof:
    """The critical value with a negative mean, from the root v of v = c (1 + u^2 + (K-1)(1 + v^2)) in (0, 1)."""
    K, c = problem.classes, PRICE
    r = Fraction(K - 2, K - 1) * x / (1 + x**2)
    u = (1 + sqrt(1 - r**2)) / r
    own, other = 1 + u**2, 1 + x**2
    value = log(1 + (K - 1) * other / own) + c * ((K - 1) * (u - x) - (u - 1 + (K - 1) * (x - 1)))
    return root(x / (own + (K - 1) * other) - c, Fraction(1, 10**9), 1, value=value, where=priced(problem))


def prove_taylor(problem: Problem, predicted: Prediction) -> Proof:
    """The program of o, a bound of all, where it falls at o = K - 1, and is met; else the lower of a simplex and a point below."""
    K, c = problem.classes, PRICE
    bound = log(1 + (K - 1) / (1 + (1 + x) ** 2))
    falls = order(number(2 * (K - 1) * (1 + (K - 1))), K * c * (1 + K**2) * (K - 1 + 1 + K**2), priced(problem))
    if not isinstance(falls, Less) or falls.a.operation == "number":
        own, other = 1 + (1 + x * Fraction(K - 1, K)) ** 2, 1 + (1 - x / K) ** 2
        simplex = least_margin(lambda p: log(1 + (K - 1) * other / own))(problem, predicted)
        sunk = _sunk(problem) if K > 2 else simplex
        return sunk if sunk.proved and simplex.proved and sunk.upper < simplex.lower else simplex
    return least_margin(lambda p: bound, lambda K: K)(problem, predicted)


THEOREMS = (
    collapse_theorem(
        "log-spherical", "loss: [debrebisson2016spherical]; minimum derived",
        predict_spherical, (log_spherical(0.05),), (0.003, 0.1, 0.8), (1e-3, 0.3), (has_loss(LogSpherical, name="log_spherical"),),
        missing=0, classes=(5,), measure=partial(measure, fold=True), prove=least_margin(_spherical, lambda K: K),
    ),
    collapse_theorem(
        "log-taylor", "loss: [debrebisson2016spherical]; minimum derived",
        predict_taylor, (log_taylor(),), (0.001, 0.01, 0.1, 0.3), (1e-3, 0.15), (has_loss(log_taylor()),),
        missing=0, classes=(5,), status="numerical", prove=prove_taylor,
        notes="Proved where b > 0. Most Gaussian starts of scale one or more end in worse minima, small ones in none.",
    ),
)  # fmt: skip
