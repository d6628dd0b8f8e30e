"""Softmax collapse: the margin at which max-subtracted log-softmax rounds to a loss of exactly zero (Prieto et al. 2025).

With all wrong logits at a margin a below the true one the loss is log(1 + (K-1) e^{-a}). In a dtype of p bits (24 in float32,
53, 11 and 8 in float64, float16 and bfloat16) the sum rounds to 1 once the other terms are too small for it:

    the true class summed first, the others onto it one by one     e^{-a} <= 2^{-p}          a >= p log 2
    the others first, the true class last                          (K-1) e^{-a} <= 2^{-p}    a >= p log 2 + log(K-1)

Ties go to even, hence to 1. Any other order of summation lies between; a longer accumulator, rounded once, is the second.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import AnyArray, check_choice, check_count
from ufm.proofs import Book, Proof, exp, number
from ufm.theory import statements
from ufm.theory.theorem import Check, below, relative_error

DTYPES = {24: jnp.float32, 53: jnp.float64, 11: jnp.float16, 8: jnp.bfloat16}
_HIGHEST = 60.0
_log_softmax = jax.jit(jax.nn.log_softmax)


class Precision(NamedTuple):
    """p bits (8 is bfloat16, 11 float16, 24 float32, 53 float64), and K classes."""

    bits: np.ndarray
    classes: np.ndarray


def precision(bits: int, classes: int) -> Precision:
    """A case, from numbers that are checked."""
    check_choice("bits", bits, tuple(DTYPES))
    check_count("classes", classes, 2)
    return Precision(np.asarray(float(bits)), np.asarray(float(classes)))


def predict(case: Precision) -> dict[str, AnyArray]:
    """Max-subtracted log-softmax of p-bit numbers gives a loss of exactly 0 from the margin p log 2 (true class summed first) or p
    log 2 + log(K-1) (last); library sums lie between.
    """
    first = case.bits * jnp.log(2.0)
    return {"first": first, "last": first + jnp.log(case.classes - 1)}


def prove(case: Precision, predicted: dict[str, AnyArray]) -> Proof:
    """e^-a and (K-1) e^-a pass 2^-p within 1e-13 of the margins served; at 2^-p a sum with one rounds to one, ties to even."""
    book = Book("e^-a of the first margin and (K-1) e^-a of the last are 2^-p, to within 1e-13 of the margins served")
    half, shift = number(2) ** 0 / 2 ** int(case.bits), number(1e-13)
    for factor, margin in ((1, predicted["first"]), (int(case.classes) - 1, predicted["last"])):
        a = book.given(f"margin{factor}_{len(book.facts)}", float(margin))
        book.less(factor * exp(-a * (1 + shift)), half)
        book.less(half, factor * exp(-a * (1 - shift)))
    return book.proof("root")


def least_margins(case: Precision) -> dict[str, float]:
    """The least number of the dtype at which the loss, evaluated in that dtype, is 0: by bisection down to neighbours.

    Of sums added one by one, and of jax.nn.log_softmax with the true class first and last.
    """
    dtype, K = np.dtype(DTYPES[int(case.bits)]), int(case.classes)

    def one_by_one(a: np.ndarray, true_class_last: bool) -> float:
        total, others = dtype.type(0 if true_class_last else 1), np.exp(-a)
        for _ in range(K - 1):
            total = dtype.type(total + others)
        return float(np.log(dtype.type(total + dtype.type(1)) if true_class_last else total))

    def library(a: np.ndarray, place: int) -> float:
        logits = np.zeros(K, dtype)
        logits[place] = a
        return -float(_log_softmax(logits)[place])

    losses = {"first": partial(one_by_one, true_class_last=False), "last": partial(one_by_one, true_class_last=True)}
    losses |= {"library first": partial(library, place=0), "library last": partial(library, place=K - 1)}
    return {name: _threshold(loss, dtype) for name, loss in losses.items()}


def _threshold(loss: Callable[[np.ndarray], float], dtype: np.dtype) -> float:
    low, high = dtype.type(1), dtype.type(_HIGHEST)
    while True:
        middle = dtype.type((float(low) + float(high)) / 2)
        if middle in (low, high):
            return float(high)
        low, high = (low, middle) if loss(middle) == 0 else (middle, high)


def evidence(case: Precision, predicted: dict[str, AnyArray], measured: dict[str, float]) -> list[Check]:
    """The two orders to the spacing of the dtype; the library between them, and at the last where it sums in a longer dtype."""
    bits, K = float(case.bits), float(case.classes)
    first, last = float(predicted["first"]), float(predicted["last"])
    spacing = 2 ** (1 - bits) * (1 + K / (2 * first))  # of margins, and of sums of K - 1 rounded terms
    checks = []
    for name, expected in (("first", first), ("last", last)):
        found = measured[f"library {name}"]
        checks.append(Check("agreement", f"true class {name}", relative_error(expected, measured[name]), spacing))
        outside = np.maximum(first - found, found - last) / last
        checks.append(below("agreement", f"log_softmax, true class {name}, in between", outside, spacing))
        if bits < 24:
            name = f"log_softmax, true class {name}, sums in float32"
            checks.append(Check("agreement", name, relative_error(last, found), spacing))
    return checks


def cases() -> dict[str, Precision]:
    """Four dtypes; two classes, where the thresholds are one, few classes and many."""
    return {f"{np.dtype(DTYPES[p]).name} K={K}": precision(p, K) for p in DTYPES for K in (2, 4, 100)}


THEOREMS = (
    statements.identity(
        "softmax-collapse", "phenomenon: [prieto2025]; thresholds derived",
        predict, least_margins, cases, evidence=evidence, prove=prove,
        notes="On XLA for CPUs float32 and float64 sums of a few terms run in the order of the classes, so that the "
        "threshold depends on the label; float16 and bfloat16 are summed in float32 and rounded once. ufm's own "
        "cross-entropy has no threshold: margin-form-ce.",
    ),
)  # fmt: skip
