"""Second-order facts of balanced squared error: Hessian spectra, rates, step limits, escape from zero."""

from ufm.theory.second_order.cases import CriticalPoint

__all__ = ["CriticalPoint"]
