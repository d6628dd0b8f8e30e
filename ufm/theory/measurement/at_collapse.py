"""All metrics in closed form between the orthogonal frame and the simplex, with isotropic variability around each class mean.

Class means m_k = a (e_k - (t/K) 1), in any coordinates: orthogonal at t = 0, the simplex at t = 1. Samples m_k +- s q_j over an
orthonormal basis q of R^d: S_W = (s^2/d) I, S_B = (a^2/K) P with the projector P on K - 1 dimensions. W = M^T. With
mu = K s^2/(d a^2) and e = 2 t - t^2, so that the cosine of two means is -e/(K - e),

    nc1 = (K-1) s^2/(d a^2),  trace ratio = K s^2/((K-1) a^2),  vci = mu/(1 + mu),  cdnv = s^2/(2 a^2)^r,
    |G/|G| - I/sqrt(K)|^2 = 2 - 2 (K-1+(1-t)^2)/sqrt(K (K-1+(1-t)^4)),   cos(w_k, c_k) = sqrt((K-1)/(K-e)).

Centred means are a simplex whatever t is: only uncentred metrics tell the limits with and without bias apart.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm import metrics
from ufm.theory import statements
from ufm.theory.theorem import Check, below, relative_error

K, DIM = 5, 7  # one program for all cases
_LABELS = np.repeat(np.arange(K), 2 * DIM)
RATIOS = ("nc1", "trace ratio", "weak", "vci", "cdnv")


class Cloud(NamedTuple):
    """a, t and s of the module's description, r of `cdnv`, and a common offset along a random direction."""

    amplitude: float
    tilt: float
    spread: float
    exponent: float
    offset: float


def predict(case: Cloud) -> dict[str, jax.Array]:
    """The metrics of collapse are elementary functions between the orthogonal frame and the simplex with isotropic variability, and
    float32 samples give what their float64 copies give, at full collapse and far from the origin too.

    Those in `RATIOS` are measured with the offset, the others without.
    """
    a, t, s, r, _ = case
    e, last = 2 * t - t**2, (1 - t) ** 2
    traces, mu, cosine = K * s**2 / ((K - 1) * a**2), K * s**2 / (DIM * a**2), jnp.sqrt((K - 1) / (K - e))
    return {
        "nc1": (K - 1) * s**2 / (DIM * a**2),
        "trace ratio": traces,
        "weak": traces / (1 + traces),
        "vci": mu / (1 + mu),
        "cdnv": s**2 / (2 * a**2) ** r,
        "centred": jnp.array([0, 0, -1 / (K - 1), -np.log(2 * K / (K - 1)) / 2, K - 1]),
        "orthogonal": jnp.sqrt(jnp.maximum(2 - 2 * (K - 1 + last) / jnp.sqrt(K * (K - 1 + last**2)), 0)),
        "uncentred cosine": -e / (K - e),
        "uncentred log kernel": -jnp.log(2 * K / (K - e)) / 2,
        "uncentred ranks": jnp.stack([(K - 1 + jnp.abs(1 - t)) ** 2 / (K - 1 + last), K - 1 + last]),
        "duality": jnp.stack([jnp.zeros(()), cosine, 1 - cosine]),
    }


def measure(case: Cloud, key: jax.Array) -> tuple[dict[str, jax.Array], np.ndarray, np.ndarray]:
    """`ufm.metrics` of samples in random coordinates; `nc1` and `cdnv` of their float32 copies, and what these are exactly."""
    # NumPy's normal numbers: those of JAX take longer to compile than all metrics here
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    moved, shapes = _shapes(case, *rng.standard_normal((2, DIM, DIM)))
    single = moved.astype(np.float32)
    found = dict(zip(RATIOS, _ratios(moved, case.exponent), strict=True)) | shapes
    rough, exact = (np.asarray(_ratios(x, case.exponent), float)[[0, -1]] for x in (single, single.astype(float)))
    return found, rough, exact


@jax.jit
def _shapes(case: Cloud, first: jax.Array, second: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The samples, moved by the offset, and the metrics of the shape of those that are not."""
    frame, basis = jnp.linalg.qr(first)[0], jnp.linalg.qr(second)[0]
    M = jnp.matmul(frame, case.amplitude * (jnp.eye(DIM, K) - case.tilt / K * (jnp.arange(DIM) < K)[:, None]))
    noise = case.spread * jnp.concatenate([basis, -basis], axis=1)
    X = (M[:, :, None] + noise[:, None, :]).reshape(DIM, -1)
    C, means = both = jnp.stack([mean(X, _LABELS, K, samples_axis=1) for mean in (metrics.centred_means, metrics.class_means)])
    cosine, kernel, ranks = jax.vmap(lambda x: (metrics.cosines(x).mean, metrics.gnc2(x).mean, metrics.nuclear_rank(x)))(both)
    found = {
        "centred": (metrics.simplex_distance(C.T @ C), metrics.equinorm(C), cosine[0], kernel[0], ranks[0]),
        "orthogonal": metrics.orthogonal_distance(means.T @ means),
        "uncentred cosine": cosine[1],
        "uncentred log kernel": kernel[1],
        "uncentred ranks": (ranks[1], metrics.stable_rank(means)),
        "duality": (metrics.simplex_distance(M.T @ C), metrics.unc3(M.T, C).mean, metrics.gnc3(M.T, C)),
    }
    return X + case.offset * second[:, :1], {name: jnp.asarray(value) for name, value in found.items()}


@jax.jit
def _ratios(X: jax.Array, exponent: jax.Array) -> jax.Array:
    ratios = (metrics.nc1, metrics.nc1_trace_ratio, metrics.nc1_weak, metrics.vci, partial(metrics.cdnv, exponent=exponent))
    return jnp.stack([ratio(X, _LABELS, K, samples_axis=1) for ratio in ratios])


def evidence(case: Cloud, predicted: dict, measured: tuple) -> list[Check]:
    """Closed forms in float64, relative for ratios; float32 against the float64 copy of the same samples, also at s = 0."""
    found, rough, exact = measured
    # samples are rounded to eps of their size, and that is part of s
    lost = np.finfo(float).eps * (case.amplitude + case.offset) / max(case.spread, np.finfo(float).eps)
    checks = []
    for name, p in predicted.items():
        relative = name in RATIOS and case.spread > 0
        tolerance = 1e-11 + 10 * lost if relative else 1e-7 if name == "orthogonal" else 1e-12
        checks.append(Check("agreement", name, relative_error(p, found[name], None if relative else 1.0), tolerance))
    single = float(np.max(np.abs(rough - exact) / np.where(exact > 0, exact, 1)))
    return [*checks, Check("agreement", "float32", single, 1e-4), below("agreement", "not negative", np.max(-rough), 0.0)]


def cases() -> dict[str, Cloud]:
    """Both limits and between; from full collapse to more variability than distance; with offsets and powers."""
    return {
        "simplex": Cloud(2.0, 1.0, 0.0, 1.0, 0.0),
        "simplex, far off, s=1e-3": Cloud(1.0, 1.0, 1e-3, 1.0, 300.0),
        "simplex, far off, s=0": Cloud(1.0, 1.0, 0.0, 2.0, 300.0),
        "orthogonal frame, s=1e-6": Cloud(1.0, 0.0, 1e-6, 1.0, 0.0),
        "between, r=2": Cloud(3.0, 0.4, 0.1, 2.0, 1.0),
        "buried, r=0.5": Cloud(0.2, 0.8, 3.0, 0.5, 0.0),
    }


def draw(rng: np.random.Generator) -> Cloud:
    """Amplitudes and spreads over decades, any tilt from 0 to 1."""
    return Cloud(10 ** rng.uniform(-1, 1), rng.uniform(), 10 ** rng.uniform(-4, 1), rng.uniform(0.5, 2), 10 ** rng.uniform(-1, 2))


THEOREMS = (
    # other: samples in random coordinates, and in two precisions
    statements.other(
        "metrics-at-collapse", "derived; metrics of [papyan2020]; [tirer2023]; [xu2023]; [galanti2022]; [liu2023]; [wu2024]",
        predict, measure, cases, draw, evidence=evidence,
        notes="Centred means are a simplex for every t: NC2 and NC3 of centred means cannot tell the limits with and "
        "without a bias apart; Gram matrices and cosines of uncentred means can.",
    ),
)  # fmt: skip
