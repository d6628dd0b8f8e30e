"""Statements: the kinds of theorem, each with its tolerances and its evidence, most with their measurement, and all others.

    minimum      what minimises a problem, against searches from random points and a certificate
    trajectory   what is seen along a flow or a descent, against the path integrated from the case's start
    spectrum     eigenvalues with their multiplicities, against those of the Hessian or of a matrix
    bound        what nothing passes, and where it is met
    identity     two expressions that are equal, or a derivative against differences
    refutation   a minimum that is claimed, a point below it, and where the claim is right
    other        none of these: the entry brings a measurement of its own, and says why in a line

    THEOREMS = (statements.trajectory("id", "[saxe2014]; ridges derived", predict, observe, cases, draw, assumes),)

All take `id`, `origin`, `predict`, `cases`, `draw` and `assumes` of a `Theorem`, and its other fields by name; a theorem holds
unless another status is given. What is claimed is the first paragraph of the docstring of `predict`, so that the sentence stands
where the formula does.
"""

from ufm.theory.statements.bounds import bound
from ufm.theory.statements.identities import identity
from ufm.theory.statements.minima import minimum
from ufm.theory.statements.own import other
from ufm.theory.statements.refutations import refutation
from ufm.theory.statements.spectra import spectrum
from ufm.theory.statements.trajectories import trajectory

__all__ = ["bound", "identity", "minimum", "other", "refutation", "spectrum", "trajectory"]
