"""Spectra: eigenvalues with their multiplicities in closed form, and those of the Hessian by automatic differentiation."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from ufm.theory.kit.hessian import derivatives
from ufm.theory.statements.own import Cases, other
from ufm.theory.theorem import Assumption, Check, Theorem, relative_error


class Spectrum(NamedTuple):
    """values: (G,) eigenvalues. multiplicity: (G,) how often each is there, zeros among them."""

    values: jax.Array
    multiplicity: jax.Array


class Critical(NamedTuple):
    """A critical point: the spectrum of the Hessian there, and the value."""

    spectrum: Spectrum
    value: jax.Array


class Seen(NamedTuple):
    """eigenvalues: ascending real parts, (P,) for each matrix. gradient_norm, value: of the objective, where a point is given."""

    eigenvalues: Any
    gradient_norm: float | None
    value: float | None


def spectrum(
    id: str,
    origin: str,
    predict: Callable[[Any], Any],
    cases: Cases,
    draw: Callable | None = None,
    assumes: tuple[Assumption, ...] = (),
    *,
    matrix: Callable[[Any], Any] | None = None,
    tolerance: float = 1e-12,
    lowest: float | None = None,
    **fields: Any,
) -> Theorem:
    """A Theorem about all eigenvalues of the Hessian of the objective at a critical point, or of another matrix.

    By Weyl's inequality eigenvalues of symmetric matrices move by as much as rounding moves the matrix: all of them are held to
    `tolerance` of the largest.

    Args:
      predict: case -> Spectrum, `Critical` (which adds the value), or a pytree of Spectrum, one for each matrix.
      matrix: case -> (P, P), or a pytree of such; by default the Hessian at `case.params` of `case.problem`, whose gradient
        has to vanish there.
      tolerance: relative to the largest eigenvalue. lowest: of the lowest one, relative to itself.
    """

    def measure(case: Any, key: jax.Array) -> Seen:
        """Eigenvalues of the matrix, which is taken by automatic differentiation."""
        if matrix is not None:
            return Seen(jax.tree.map(eigenvalues, matrix(case)), None, None)
        found = derivatives(case.problem, case.params)
        return Seen(eigenvalues(found.hessian), float(np.linalg.norm(found.gradient)), float(found.value))

    def evidence(case: Any, predicted: Any, measured: Seen) -> list[Check]:
        """Every eigenvalue as often as it is said to be there; a gradient of zero; the value, where one is predicted."""
        checks = []
        if isinstance(predicted, Critical):
            checks.append(Check("agreement", "value", relative_error(predicted.value, measured.value), 10 * tolerance))
            predicted = predicted.spectrum
        if measured.gradient_norm is not None:
            checks.append(Check("stationarity", "gradient", measured.gradient_norm, 1e-13))
        tables = jax.tree_util.tree_flatten_with_path(predicted, is_leaf=lambda x: isinstance(x, Spectrum))[0]
        for (place, table), found in zip(tables, jax.tree.leaves(measured.eigenvalues), strict=True):
            name = jax.tree_util.keystr(place, simple=True, separator=".") or "eigenvalues"
            checks.append(spectrum_check(name, table, found, tolerance))
            if lowest is not None:
                present = np.asarray(table.values)[np.asarray(table.multiplicity) > 0]
                checks.append(Check("agreement", f"lowest of {name}", relative_error(np.min(present), found[0]), lowest))
        return checks

    return other(id, origin, predict, measure, cases, draw, assumes, evidence=evidence, **{"kind": "spectrum"} | fields)


def eigenvalues(matrix: Any) -> np.ndarray:
    """(P,) of a matrix, ascending; real parts, where it is not symmetric."""
    A = np.asarray(matrix)
    symmetric = np.allclose(A, A.T, rtol=1e-12, atol=1e-12 * np.max(np.abs(A)))
    return np.linalg.eigvalsh(A) if symmetric else np.sort(np.linalg.eigvals(A).real)


def spectrum_check(name: str, predicted: Spectrum, found: np.ndarray, tolerance: float) -> Check:
    """Whether ascending eigenvalues are those of a table, relative to the largest."""
    expected = np.sort(np.repeat(np.asarray(predicted.values), np.asarray(predicted.multiplicity)))
    return Check("agreement", name, relative_error(expected, found), tolerance)
