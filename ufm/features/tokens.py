"""Words and their real frequencies as the classes of an unconstrained feature model: `ufm language`.

Language models have more tokens than dimensions and no balanced classes. Here the V most frequent words of a language (package
wordfreq, whose data come with it) are the classes, with their frequencies as priors, and for each width d the minimum of

    sum_v f_v CE(W h_v, v) + l2_W/2 |W|^2 + l2_H/2 sum_v f_v |h_v|^2         every class as two columns that start apart

is searched from random starts and its geometry measured. With `contexts`, that many contexts with soft labels on random supports
take the place of classes (see `ufm.settings.language`), and token v has the features of its contexts, pi_j p_vj times each. The
minimum over width V is found too: its dual bound holds for every d, and is met where d is at least its rank.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ufm import metrics
from ufm.base.checks import check_count, check_non_negative, check_positive, check_seed, optional, refuse
from ufm.duality import certify
from ufm.equivalent.columns import split_columns
from ufm.features.tokens_report import LanguageReport, Width
from ufm.problem import Problem
from ufm.problem.params import Params
from ufm.search.solution import Solution, solve
from ufm.settings.language import next_token_problem, random_contexts, zipf_priors

_TOLERANCES = {True: 1e-8, False: 1e-6}  # of the convex problem, whose bound is of first order in the error, and of searches
_MAX_STEPS = 5000
_DEAD = 1e-6  # of the longest vector


def language(
    vocabulary: Sequence[int] = (64, 128),
    dimensions: Sequence[int] = (16, 32, 64),
    *,
    language: str = "en",
    exponent: float | None = None,
    contexts: int = 0,
    ridge: float = 3e-3,
    starts: int = 1,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> LanguageReport:
    """Minimise and measure, for every vocabulary size and every dimension below it, and that size itself.

    Args:
      vocabulary: numbers V of words, each at least 3. dimensions: widths d of at least 2; those of V or more count as V.
      language: a language of wordfreq, such as "en". exponent: Zipf's law rank^(-exponent) in place of words.
      contexts: 0 for one class a word, else so many contexts with soft labels on one to three words.
      ridge: l2_W = l2_H. starts: random starts a width below V. seed: of contexts and starts.
      progress: called as progress(widths done, widths in all).

    Returns:
      LanguageReport.

    Raises:
      ValueError: naming the argument, the value and what is allowed; without wordfreq, the extra that has it.
    """
    for V in vocabulary:
        check_count("vocabulary", V, 3)
    for d in dimensions:
        check_count("dimensions", d, 2)
    check_count("contexts", contexts, 0)
    check_positive("ridge", ridge)
    check_count("starts", starts, 1)
    check_seed("seed", seed)
    if exponent is not None:
        check_non_negative("exponent", exponent)
    widths = {V: [V, *sorted({d for d in dimensions if d < V})] for V in dict.fromkeys(vocabulary)}
    total, rows, source = sum(map(len, widths.values())), [], ""
    for V in widths:
        source, frequencies = (f"Zipf's law of exponent {exponent:g}", zipf_priors(V, exponent)) if exponent is not None else (
            word_frequencies(language, V)
        )  # fmt: skip
        problem, samples = _problem(frequencies, contexts, ridge, seed)
        bound = -math.inf
        for d in widths[V]:
            own = problem if d == V else problem.replace(widths=(d,))
            key = jax.random.fold_in(jax.random.key(seed), V * 10_000 + d)
            tolerance = max(_TOLERANCES[d == V], 64 * float(jnp.finfo(own.dtype).eps))
            found = solve(
                own, key, starts=1 if d == V else starts, columns="raw", tolerance=tolerance, max_steps=_MAX_STEPS
            )
            if d == V:
                bound = float(certify(own, found.params).lower_bound)
            rows.append(_measure(own, found, bound, samples))
            if progress is not None:
                progress(len(rows), total)
    rows.sort(key=lambda row: (row.vocabulary, row.dimension))
    return LanguageReport(source, contexts, ridge, tuple(rows))


def word_frequencies(language: str, words: int) -> tuple[str, np.ndarray]:
    """Where the frequencies come from, in words, and those of the most frequent words of a language, scaled to sum 1.

    Args:
      language: a language of wordfreq. words: how many.

    Returns:
      (source, frequencies of shape (words,), falling).

    Raises:
      ValueError: without wordfreq, for a language it has not, or for more words than it knows.
    """
    wordfreq = optional("wordfreq", "language")
    from importlib.metadata import version

    known = wordfreq.available_languages("small")
    if language not in known:
        refuse("language", language, "one of wordfreq's: " + ", ".join(sorted(known)))
    numbers = np.sort(np.fromiter(wordfreq.get_frequency_dict(language, "small").values(), float))[::-1]
    if numbers.size < words:
        refuse("vocabulary", words, f"at most the {numbers.size} words that wordfreq has for {language!r}")
    return f"words of language {language!r}, wordfreq {version('wordfreq')}", numbers[:words] / numbers[:words].sum()


def _problem(frequencies: np.ndarray, contexts: int, ridge: float, seed: int) -> tuple[Problem, tuple]:
    """The problem at width V, and its samples: (column of each, token of each, weight of each)."""
    V = frequencies.size
    if not contexts:
        problem = Problem.from_targets(
            np.eye(V), V, loss="ce", multiplicity=frequencies, samples=1.0, l2_W=ridge, l2_H=ridge
        )
        return split_columns(problem), (np.arange(2 * V), np.repeat(np.arange(V), 2), np.repeat(frequencies, 2) / 2)
    tokens = random_contexts(jax.random.key(seed), frequencies, contexts)
    token, column = np.nonzero(tokens.labels)
    weight = (tokens.labels * tokens.priors[None, :])[token, column]
    return next_token_problem(tokens, V, l2_W=ridge, l2_H=ridge), (column, token, weight)


def _measure(problem: Problem, found: Solution, bound: float, samples: tuple) -> Width:
    """Geometry of the tokens that occur, padded to V dimensions: all widths of a vocabulary then share programs."""
    (W,), H = _padded(found.params)
    H = H / np.sqrt(np.asarray(problem.multiplicity))[None, :]
    column, token, weight = samples
    seen, label = np.unique(token, return_inverse=True)
    share = np.bincount(label, weight)
    features = H[:, column]
    classes = (jnp.asarray(features), label, seen.size, weight)
    C = metrics.centred_means(*classes, global_mean="classes", samples_axis=1)
    rows = jnp.asarray(W[seen] - W.mean(axis=0))
    spread, duality = metrics.gnc2(C), metrics.unc3(rows, C)
    lengths, sizes = (np.linalg.norm(np.asarray(x), axis=0) for x in (C, rows.T))
    value = float(found.value)
    return Width(
        vocabulary=W.shape[0],
        dimension=problem.widths[0],
        seen=int(seen.size),
        value=value,
        lower_bound=bound,
        gap=(value - bound) / value,
        rank=int(found.rank),
        nc1=float(metrics.nc1_trace_ratio(*classes, global_mean="classes", samples_axis=1)),
        cdnv2=float(metrics.cdnv(*classes, exponent=2.0, samples_axis=1)),
        gnc2=float(spread.mean),
        gnc2_cov=float(spread.cov),
        unc3=float(duality.mean),
        unc3_cov=float(duality.cov),
        equinorm_H=float(metrics.equinorm(C)),
        equinorm_W=float(metrics.equinorm(rows.T)),
        slope_H=_slope(lengths, share),
        slope_W=_slope(sizes, share),
        merged=int(np.sum(lengths <= _DEAD * lengths.max())),
        steps=int(found.steps),
        status=int(found.status),
    )


def _padded(params: Params) -> tuple[tuple[np.ndarray], np.ndarray]:
    W, H = np.asarray(params.weights[0]), np.asarray(params.H)
    missing = W.shape[0] - W.shape[1]
    return (np.pad(W, ((0, 0), (0, missing))),), np.pad(H, ((0, missing), (0, 0)))


def _slope(lengths: np.ndarray, share: np.ndarray) -> float:
    """Least-squares slope of log lengths over log frequencies, among vectors that are not zero; NaN for equal frequencies."""
    alive = lengths > _DEAD * lengths.max()
    x, y = np.log(share[alive]), np.log(lengths[alive])
    x = x - x.mean()
    return float(x @ y / (x @ x)) if x @ x > 1e-12 else math.nan
