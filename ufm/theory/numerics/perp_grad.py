"""perpGrad and the norm of the parameters: conserved to first order, and how a finite step grows it (Prieto et al. 2025).

    definition   theta+ = theta - eta g_perp                      |theta+|^2 = |theta|^2 + eta^2 (|g|^2 - <theta, g>^2/|theta|^2)
    reference    array by array, g_perp stretched to |g_i|        |theta_i+|^2 = |theta_i|^2 + eta^2 |g_i|^2

Plain descent has |theta+|^2 = |theta|^2 - 2 eta <theta, g> + eta^2 |g|^2, with <theta, g> < 0 while the loss can still fall by
scaling the logits: "naive loss minimisation".
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ufm.motion.perp_grad import perp_grad
from ufm.problem import Problem
from ufm.problem.params import Params, objective
from ufm.proofs import Book, Proof, given_params, number, slopes, sqrt
from ufm.theory import statements
from ufm.theory.dynamics.imbalance import Step


def predict(case: Step) -> dict[str, jax.Array]:
    """A perpGrad step is orthogonal to the parameters and grows their squared norm by exactly eta^2 |g_perp|^2; the published
    optimiser, which stretches it array by array, by eta^2 |g|^2.

    How a step of the definition grows |theta|^2 and its cosine with theta; (number of arrays,) of both for the reference.
    """
    gradient = jax.grad(objective, argnums=1)(case.problem, case.params)
    along, g = optax.tree.vdot(case.params, gradient), jnp.stack([jnp.sum(x**2) for x in jax.tree.leaves(gradient)])
    perp = jnp.sum(g) - along**2 / optax.tree.vdot(case.params, case.params)
    return {"growth": case.size**2 * perp, "turn": jnp.zeros(()), "growths": case.size**2 * g, "turns": jnp.zeros_like(g)}


@jax.jit
def steps(case: Step) -> dict[str, jax.Array]:
    """One step of gradient descent after either transformation."""
    gradient = jax.grad(objective, argnums=1)(case.problem, case.params)
    theta = jax.tree.leaves(case.params)

    def after(transformation: optax.GradientTransformation) -> jax.Array:
        """(4, number of arrays) squares before and after a step, inner products with it, and squares of the step."""
        optimizer = optax.chain(transformation, optax.sgd(case.size))
        step = jax.tree.leaves(optimizer.update(gradient, optimizer.init(case.params), case.params)[0])
        return jnp.array([[jnp.sum(z) for z in (x**2, (x + y) ** 2, x * y, y**2)] for x, y in zip(theta, step, strict=True)]).T

    found: dict[str, jax.Array] = {}
    for s, sums in (("", jnp.sum(after(perp_grad()), axis=1)), ("s", after(perp_grad(per_array=True, rescale=True)))):
        before, moved, inner, length = sums
        found |= {f"growth{s}": moved - before, f"turn{s}": inner / jnp.sqrt(before * length)}
    return found


def prove(case: Step, predicted: dict[str, jax.Array]) -> Proof:
    """Both steps in exact numbers, by the chain rule: squares after them less squares before, and inner products."""
    book = Book("what a step of perpGrad adds to squared norms, and its inner products with the parameters, are what is served")
    point, eta = given_params(book, case.params), number(float(case.size))
    gradient = slopes(book, case.problem, point)
    theta, g = ([*(W.ravel() for W in at.weights), at.H.ravel()] for at in (point, gradient))
    whole, pull = np.concatenate(theta), np.concatenate(g)
    moved = book.kept("step", (pull - whole * book.kept("along", whole @ pull / (whole @ whole))) * -eta)
    book.near((whole + moved) @ (whole + moved) - whole @ whole, predicted["growth"])
    book.near(whole @ moved, predicted["turn"])
    for i, (x, y) in enumerate(zip(theta, g, strict=True)):
        perp = book.kept(f"perp{i}", y - x * (x @ y / (x @ x)))
        step = book.kept(f"step{i}", perp * (-eta * sqrt(y @ y) / sqrt(perp @ perp)))
        book.near((x + step) @ (x + step) - x @ x, predicted["growths"][i])
        book.near(x @ step, predicted["turns"][i])
    return book.proof()


def cases() -> dict[str, Step]:
    """Small and large steps, with and without ridge."""
    return {f"eta={eta} l2={l2}": _step(eta, l2, seed) for seed, (eta, l2) in enumerate(((0.01, 0.0), (1.0, 0.0), (10.0, 0.02)))}


def _step(eta: float, l2: float, seed: int) -> Step:
    rng = np.random.default_rng(seed)
    W, H = (jnp.asarray(rng.normal(size=shape)) for shape in ((3, 4), (4, 6)))
    return Step(Problem.balanced(3, 2, 4, loss="ce", l2_W=l2, l2_H=l2), Params((W,), H, None), jnp.asarray(eta))


THEOREMS = (
    statements.identity(
        "perp-grad", "[prieto2025]; growth derived", predict, steps, cases,
        lambda rng: _step(float(np.exp(rng.uniform(-5, 3))), float(np.exp(rng.uniform(-6, -1))), int(rng.integers(2**31))),
        prove=prove, tolerance=1e-8, leaves={"turn": 1e-12, "turns": 1e-12},
        notes="The two readings differ twice: one projection for all parameters or one for each array, and whether g_perp "
        "keeps its length. Flow of either conserves the norm; steps do not.",
    ),
)  # fmt: skip
