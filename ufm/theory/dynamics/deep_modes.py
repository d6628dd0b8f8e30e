"""M + 1 factors of one singular value a mode: every mode obeys one scalar equation (Saxe et al. 2014; Arora et al. 2018).

W_j = O_{j+1} diag(u) O_j^T for all factors and equal ridges l: the flow keeps this form, and with s = sqrt(n_k)

    u' = (scale/N)(s - scale u^{M+1}) u^M - l u
    p' = (M + 1) p [(scale/N)(s - p) (p/scale)^{(M-1)/(M+1)} - l],    p = scale u^{M+1}

For M >= 2 and l > 0 zero attracts: a mode that starts below the peak of g(u) = (s - scale u^{M+1}) u^{M-1}, at
scale u^{M+1} = s (M-1)/(2M), is learned if and only if g(u) > N l/scale there, and then ends at the larger root.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ufm.problem.params import Params
from ufm.proofs import Book, Proof, given_params, negative, number, product_rule, slopes
from ufm.search.roots import increasing_root
from ufm.theory import statements
from ufm.theory.dynamics.spectral import EQUAL_RIDGES, draw_sizes, is_spectral, mode_matrix, plain_mse, ridged, spectral_point
from ufm.theory.kit.integrate import downhill
from ufm.theory.statements.trajectories import Start
from ufm.theory.theorem import Assumption

_WIDTHS = {1: (5,), 2: (5, 4), 3: (5, 4, 3)}


def singular_values(params: Params) -> jax.Array:
    """(K,) of u, the norms of the columns of H."""
    return jnp.linalg.norm(params.H, axis=0)


def predict(case: Start) -> dict:
    """M + 1 factors of equal singular values u_k in shared frames keep that form under gradient flow: u' = (sqrt(n_k) - u^(M+1))
    u^M/N - l u.

    W_j' = O_{j+1} diag(u') O_j^T, where O_{j+1} = W_j O_j / u; p' are rates of the diagonal logits times sqrt(m).
    """
    problem, params = case.problem, case.params
    M, N, scale, l2 = len(problem.widths), problem.samples, problem.scale, problem.l2_H
    s, u = jnp.sqrt(problem.multiplicity), singular_values(params)
    frame = params.H / u[None, :]
    rate = scale / N * (s - scale * u ** (M + 1)) * u**M - l2 * u
    H, weights = frame * rate[None, :], []
    for W in params.weights:
        below, frame = frame, W @ frame / u[None, :]
        weights.append((frame * rate[None, :]) @ below.T)
    p = scale * u ** (M + 1)
    p_rate = (M + 1) * p * (scale / N * (s - p) * (p / scale) ** ((M - 1) / (M + 1)) - l2)
    return {"params": Params(tuple(weights), H, None), "p": p_rate}


@jax.jit
def direct(case: Start) -> dict:
    """The gradient of the objective, and the derivative of the logits along it."""
    v = downhill(case.problem)(case.params)
    return {"params": v, "p": jnp.diagonal(jax.jvp(lambda p: mode_matrix(case.problem, p), (case.params,), (v,))[1])}


def prove(case: Start, predicted: dict) -> Proof:
    """The gradient by the chain rule, and the product rule along it, within 1e-10 of the rates served."""
    book = Book("minus the gradient of the objective, and the rates of the diagonal logits along it, are those served")
    point = given_params(book, case.params)
    v = negative(slopes(book, case.problem, point))
    for found, served in zip((*v.weights, v.H), (*predicted["params"].weights, predicted["params"].H), strict=True):
        book.near(found, served)
    rates = np.diagonal(product_rule(book, point, v)) * number(float(case.problem.scale))
    book.near(rates, predicted["p"])
    return book.proof()


def predict_fate(case: Start) -> jax.Array:
    """With M >= 2 layers and a ridge, a mode from below the peak of (sqrt(n) - u^(M+1)) u^(M-1) is learned if and only if this
    exceeds N l at the start; otherwise it decays to zero.
    """
    problem = case.problem
    M, scale = len(problem.widths), problem.scale
    cost = problem.samples * problem.l2_H / scale

    def gain(u: jax.Array, s: jax.Array) -> jax.Array:
        return (s - scale * u ** (M + 1)) * u ** (M - 1)

    def end(s: jax.Array, u: jax.Array) -> jax.Array:
        peak, top = ((s * part / scale) ** (1 / (M + 1)) for part in ((M - 1) / (2 * M), 1))
        root = increasing_root(lambda x, s: cost - gain(x, s), peak, top, s)
        return jnp.where(gain(jnp.minimum(u, peak), s) > cost, scale * root ** (M + 1), 0)

    return jax.vmap(end)(jnp.sqrt(problem.multiplicity), singular_values(case.params))


def deep_start(widths: tuple, u: np.ndarray, cost: float, rng: np.random.Generator, counts=(25, 9, 4), scale=1.0) -> Start:
    """Every factor of diagonal u, N l/scale = cost, and times up to 25/l."""
    problem = ridged(counts, widths, cost, scale)
    ts = (25 / problem.l2_H if cost > 0 else 0.0) * jnp.asarray([1e-3, 1e-2, 0.1, 1])
    return Start(problem, spectral_point(problem, np.tile(u, (len(widths) + 1, 1)), rng), ts)


def cases() -> dict[str, Start]:
    """One to three layers, below and above the targets, without and with ridge."""
    rng = np.random.default_rng(0)
    return {
        f"M={M} N l={cost}": deep_start(_WIDTHS[M], np.array([0.2, 1.0, 2.5]), cost, rng, scale=scale)
        for M in _WIDTHS
        for cost, scale in ((0.0, 1.0), (1.5, 0.6))
    }


def draw(rng: np.random.Generator) -> Start:
    """Random depth, class sizes, singular values, ridge and scale."""
    u = np.exp(rng.uniform(-2, 1, size=3))
    return deep_start(_WIDTHS[int(rng.integers(1, 4))], u, rng.uniform(0, 4), rng, *draw_sizes(rng))


def _near_escape(widths: tuple, factors: tuple, cost: float, rng, counts=(25, 9, 4), scale=1.0) -> Start:
    """Starts at given multiples of the smaller root of g(u) = cost, or at the multiples themselves where there is none."""
    M, u = len(widths), []
    for n, factor in zip(counts, factors, strict=True):
        polynomial = np.zeros(2 * M + 1)
        polynomial[[0, M + 1, 2 * M]] = -scale, np.sqrt(n), -cost
        roots = np.roots(polynomial)
        positive = np.sort(roots[(np.abs(roots.imag) < 1e-9) & (roots.real > 0)].real)
        u.append(factor * (positive[0] if positive.size else 1))
    return deep_start(widths, np.array(u), cost, rng, counts, scale)


def fate_cases() -> dict[str, Start]:
    """Either side of the escape threshold, above the peak, above the target, and classes that no start can save."""
    rng = np.random.default_rng(1)
    return {
        "M=2, far above, 5% above, 5% below": _near_escape((5, 4), (3.0, 1.05, 0.95), 1.0, rng),
        "M=2, smallest class beyond saving": _near_escape((5, 4), (1.05, 1.3, 1.3), 1.6, rng),
        "M=2, all 5% below": _near_escape((5, 4), (0.95, 0.95, 0.95), 0.5, rng),
        "M=2, from above the targets, scale 2": _near_escape((5, 4), (12.0, 8.0, 0.95), 0.8, rng, scale=2.0),
        "M=3, far above, 5% above, 5% below": _near_escape((5, 4, 3), (2.0, 1.05, 0.95), 0.8, rng),
    }


def fate_draw(rng: np.random.Generator) -> Start:
    """Random class sizes, ridge and scale, 3% or more away from the threshold, above it for the larger classes."""
    counts = tuple(int(n) for n in np.sort(rng.choice(np.arange(3, 40), size=3, replace=False))[::-1])
    escaping = np.arange(3) < rng.integers(0, 4)
    factors = tuple(np.exp(np.where(escaping, 1, -1) * rng.uniform(0.03, 0.5, size=3)))
    return _near_escape((5, 4), factors, rng.uniform(0.3, 0.9), rng, counts, np.exp(rng.uniform(-0.3, 0.3)))


def _larger_escape(case: Start) -> bool:
    alive = np.asarray(predict_fate(case))[np.argsort(-np.asarray(case.problem.multiplicity), kind="stable")] > 0
    return bool(np.all(alive[1:] <= alive[:-1]))


def _is_deep_spectral(case: Start) -> bool:
    u = np.sort(np.linalg.norm(np.asarray(case.params.H), axis=0))[::-1]
    values = [np.linalg.svd(np.asarray(W), compute_uv=False)[: u.size] for W in case.params.weights]
    return is_spectral(case.params) and all(np.allclose(v, u, rtol=1e-10, atol=0) for v in values)


SOURCE = "[saxe2014]; [arora2018]; "
ASSUMES = (
    Assumption("one-hot MSE without bias, one column a class", lambda c: plain_mse(c.problem)), EQUAL_RIDGES,
    Assumption("one singular value a mode in every factor", _is_deep_spectral),
)  # fmt: skip
_FATES = (
    *ASSUMES, Assumption("two layers or more", lambda c: len(c.problem.widths) >= 2),
    Assumption("no class that dies is larger than one that escapes", _larger_escape),
)  # fmt: skip
THEOREMS = (
    statements.identity(
        "deep-mode-equation", SOURCE + "ridges and class sizes derived", predict, direct, cases, draw, ASSUMES,
        tolerance=1e-12, prove=prove,
    ),
    statements.trajectory(
        "deep-mode-escape", "derived", predict_fate, lambda case, end: jnp.diagonal(mode_matrix(case.problem, end)),
        fate_cases, fate_draw, _FATES, at_end=True,
        notes="Where a larger class dies beside a smaller one that escaped, the form is still invariant but unstable: any "
        "rounding grows until the larger class takes over the direction of the smaller one, which then dies.",
    ),
)  # fmt: skip
