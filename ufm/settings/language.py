"""Next-token prediction: contexts with soft labels on supports (Zhao, Behnia, Vakilian, Thrampoulidis 2024, arXiv 2408.15417).

    min_{W, H}  sum_j pi_j CE(p_j, softmax(W h_j)) + l2_W/2 |W|^2 + l2_H/2 |H|^2

over m distinct contexts j of probability pi_j, whose next token is distributed as p_j on a support S_j among V tokens. The
ridge of the features does not weigh contexts: column j has multiplicity 1 and weight m pi_j.
"""

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import check_count, check_non_negative, check_positive, check_shape, common_float_dtype, is_traced, refuse
from ufm.problem import Problem
from ufm.search.max_margin import check_supports

_LEAST_LABEL = 1e-6


class NextTokens(NamedTuple):
    """Distributions of the next token.

    labels: (V, m), column j is p_j, zero off its support. priors: (m,), the pi_j, of sum 1.
    """

    labels: Any
    priors: Any

    @property
    def supports(self) -> Any:
        """(V, m) booleans, the tokens that can follow each context."""
        return self.labels > 0


def next_token_problem(tokens: NextTokens, dim: int, *, l2_W: Any, l2_H: Any, **choices: Any) -> Problem:
    """The cross-entropy of next tokens with free features of contexts, sum_j pi_j CE(p_j, softmax(W h_j)) and the ridges.

    Args:
      tokens: labels (V, m) with columns of sum 1, and priors (m,) of sum 1.
      dim: d, below V as well.
      l2_W, l2_H: ridges, l2/2 times a squared Frobenius norm; no context's features weigh more than another's.
      **choices: as in `Problem.from_targets`.

    Returns:
      Problem of K = V logits and m columns.

    Raises:
      ValueError: for labels or priors that are no distributions; naming the argument, the value and what is allowed.

    Source:
      Zhao, Behnia, Vakilian, Thrampoulidis 2024, Implicit geometry of next-token prediction, arXiv 2408.15417.
    """
    labels, priors = tokens
    if np.ndim(labels) != 2:
        raise ValueError(f"labels must have shape (V, m), got {np.shape(labels)}")
    m = np.shape(labels)[1]
    check_shape("priors", priors, (m,))
    check_positive("priors", priors)
    check_non_negative("labels", labels)
    if not is_traced(priors):
        eps = 64 * np.finfo(common_float_dtype(labels, priors)).eps
        if abs(np.sum(np.asarray(priors)) - 1) > eps:
            refuse("priors", priors, "of sum 1")
    for name in ("weight", "multiplicity", "samples", "loss"):
        if name in choices:
            refuse("choices", name, "no argument that the contexts decide")
    return Problem.from_targets(labels, dim, loss="ce", weight=m * priors, l2_W=l2_W, l2_H=l2_H, **choices)


def zipf_priors(vocabulary: int, exponent: float = 1.0) -> np.ndarray:
    """Probabilities of tokens by rank, proportional to rank^(-exponent).

    Args:
      vocabulary: V >= 2. exponent: 0 for equal tokens, about 1 for words.

    Returns:
      (V,), decreasing, of sum 1.

    Raises:
      ValueError: naming the argument, the value and what is allowed.
    """
    check_count("vocabulary", vocabulary, 2)
    check_non_negative("exponent", exponent)
    shares = np.arange(1, vocabulary + 1) ** -float(exponent)
    return shares / shares.sum()


def random_contexts(
    key: jax.Array,
    priors: Any,
    contexts: int,
    *,
    sizes: Any = (1, 2, 3),
    size_probabilities: Any = None,
    concentration: float = 1.0,
    exponent: float = 0.0,
) -> NextTokens:
    """Random contexts: supports drawn by the frequency of tokens, Dirichlet labels on them, contexts by Zipf's law.

    Args:
      key: a JAX key; the same key gives the same contexts in every dtype and on every device.
      priors: (V,) probabilities or counts of the tokens (`zipf_priors`, or real counts).
      contexts: m >= 1. Supports may repeat, and rare tokens may follow no context.
      sizes: support sizes, of 1 to V tokens. size_probabilities: of each size, equal by default.
      concentration: of the symmetric Dirichlet labels, large for even ones. No label is below 1e-6 of the largest in its context.
      exponent: context j has a probability proportional to j^(-exponent).

    Returns:
      NextTokens, labels (V, m) and priors (m,), NumPy arrays in float64.

    Raises:
      ValueError: naming the argument, the value and what is allowed.
    """
    if not isinstance(key, jax.Array) or not jnp.issubdtype(key.dtype, jax.dtypes.prng_key) or key.shape:
        refuse("key", key, "one key of jax.random.key")
    check_positive("priors", priors)
    frequencies = np.asarray(priors, dtype=float)
    if frequencies.ndim != 1 or frequencies.size < 2:
        raise ValueError(f"priors must have shape (V,) with V >= 2, got {frequencies.shape}")
    check_count("contexts", contexts, 1)
    check_positive("concentration", concentration)
    check_non_negative("exponent", exponent)
    V = frequencies.size
    sizes = tuple(np.atleast_1d(np.asarray(sizes)).tolist())
    for size in sizes:
        check_count("sizes", size, 1)
        if size > V:
            refuse("sizes", size, f"at most the V = {V} tokens")
    shares = np.ones(len(sizes)) if size_probabilities is None else size_probabilities
    check_shape("size_probabilities", shares, (len(sizes),))
    check_non_negative("size_probabilities", shares)
    shares = np.asarray(shares, dtype=float)
    if shares.sum() == 0:
        refuse("size_probabilities", shares, "not all 0")
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    labels = np.zeros((V, contexts))
    for j in range(contexts):
        size = int(rng.choice(sizes, p=shares / shares.sum()))
        # the largest of log f + Gumbel noise are draws by frequency without replacement
        support = np.argsort(-np.log(frequencies) - rng.gumbel(size=V))[:size]
        parts = rng.gamma(concentration, size=size)
        parts = np.maximum(parts, max(_LEAST_LABEL * parts.max(), np.finfo(float).tiny))
        labels[support, j] = parts / parts.sum()
    return NextTokens(labels, zipf_priors(contexts, exponent) if contexts > 1 else np.ones(1))


def uniform_supports(vocabulary: int, size: int) -> NextTokens:
    """Every support of k tokens once, with even labels and equal contexts: m = C(V, k).

    Args:
      vocabulary: V >= 2. size: k in 1..V-1 (a support of all V tokens says nothing).

    Returns:
      NextTokens, labels (V, C(V, k)) with entries 1/k on the supports.

    Raises:
      ValueError: naming the argument, the value and what is allowed.
    """
    check_count("vocabulary", vocabulary, 2)
    check_count("size", size, 1)
    if size >= vocabulary:
        refuse("size", size, f"at most V - 1 = {vocabulary - 1}")
    return even_contexts(_indicators(vocabulary, itertools.combinations(range(vocabulary), size)))


def even_contexts(supports: Any) -> NextTokens:
    """Equally probable contexts with even labels on given supports.

    Args:
      supports: (V, m) booleans or zeros and ones, no column empty.

    Returns:
      NextTokens, p_j = 1/|S_j| on S_j, pi_j = 1/m.

    Raises:
      ValueError: for entries other than 0 and 1, or an empty column.
    """
    S = check_supports(supports).astype(float)
    return NextTokens(S / S.sum(axis=0), np.full(S.shape[1], 1 / S.shape[1]))


def _indicators(vocabulary: int, supports: Any) -> np.ndarray:
    columns = [np.isin(np.arange(vocabulary), support) for support in supports]
    return np.stack(columns, axis=1)
