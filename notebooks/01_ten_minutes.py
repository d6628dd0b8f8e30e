# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Ten minutes of ufm
#
# **Claim.** An unconstrained feature model with one trained layer and a convex loss has no bad minima: what a local search finds
# from one random start is the global minimum. Where a closed form is known the two agree to rounding, and where none is known,
# convex duality still certifies it (Zhu et al. 2021, [arXiv 2105.02375](https://arxiv.org/abs/2105.02375); Zhou et al. 2022,
# [arXiv 2203.01238](https://arxiv.org/abs/2203.01238)).
#
# The features are variables, next to the classifier:
#
# $$f(W, H, b) = \frac1N \sum_{i=1}^N \ell(W h_i + b,\, y_i) + \frac{\lambda_W}2 \|W\|^2 + \frac{\lambda_H}2 \|H\|^2 .$$

# %%
import os

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

jax.config.update("jax_enable_x64", True)
import ufm
import ufm.plot

QUICK = "UFM_QUICK" in os.environ  # reduced sizes, as in the tests

# %% [markdown]
# **The cell to change**: other classes, losses, imbalances and biases; then run everything again.

# %%
K, n, d = 4, 20, 16  # classes, samples of the largest class, dimensions of the features (at least K)
imbalance = 1.0  # largest over smallest class: an exponential long tail above 1
loss = "mse"  # "mse", "ce", "logistic", "squared_hinge", or one of ufm.losses
bias = "none"  # "none" or "free"
l2_W, l2_H = 5e-3, 1e-3  # the ridges

# %% [markdown]
# ## A problem
#
# A problem is a value: its numbers (ridges, class sizes, targets) can be differentiated and swept, its choices (loss, bias, widths)
# are fixed. Every object of ufm shows itself like this, and `print` gives the same in plain text; of a problem, `ufm.explain` says
# besides which theorems give its minimum and how it can be certified.

# %%
counts = [max(1, round(n * imbalance ** (-k / (K - 1)))) for k in range(K)]
problem = ufm.Problem.imbalanced(counts, d, loss=loss, bias=bias, l2_W=l2_W, l2_H=l2_H)
ufm.explain(problem)

# %% [markdown]
# ## Its prediction
#
# `ufm.predict` looks for a theorem of the catalogue whose assumptions the problem meets, and signs the minimum in closed form with
# its id. Outside all theorems it does not guess: it says which assumption fails. This notebook then goes on without a prediction.


# %%
def ask(question, *arguments):
    """The answer, or None where ufm refuses, saying why."""
    try:
        return question(*arguments)
    except ValueError as refusal:
        print(f"ufm refuses: {refusal}")


prediction = ask(ufm.predict, problem)
prediction

# %% [markdown]
# ## Its measured minimum
#
# `ufm.solve` knows no theorem. Every sample is a column of its own (`columns="raw"`) and starts at random, so that collapse within
# classes is found, not assumed. `ufm.identify` then names the geometry of the class means.

# %%
solution = ufm.solve(problem, jax.random.key(0), columns="raw")
solution

# %%
found = ufm.identify(problem, solution.params)
print(found)

# %% [markdown]
# Minimisers differ by rotations of the feature space, which Gram matrices of the class means do not see.

# %%
if prediction is not None:
    ufm.plot.gram_matrices(problem, prediction, solution)
else:
    means = np.asarray(problem.group_sum(solution.params.H) / problem.counts)
    plt.figure(figsize=(4.5, 3.5), layout="constrained")
    plt.imshow(means.T @ means, cmap="RdBu_r", clim=np.max(np.sum(means**2, axis=0)) * np.array([-1, 1]))
    plt.colorbar(label=r"$\langle m_j, m_k \rangle$, measured")
plt.show()

# %% [markdown]
# ## Its certificate
#
# With $Z = WH$, the ridges cost $c\,\|Z\|_*$ (nuclear norm), $c = \sqrt{\lambda_W \lambda_H}$: a convex problem, whose dual gives
# a lower bound on every value of $f$, from any point at all. No theorem about geometry enters.

# %%
certificate = ask(ufm.certify, problem, solution.params)
certificate

# %% [markdown]
# The minimum as a function of the ridge has the slope $\partial f^* / \partial \lambda_H = \|H^*\|^2 / 2$ (envelope theorem).
# The closed form is differentiated, the features are measured.

# %%
if prediction is not None:
    slope = jax.jit(jax.grad(lambda l2_H: ufm.predict(problem.replace(l2_H=l2_H)).value))(l2_H)
    print(f"{slope:.12f} is the derivative of the closed form, {jnp.sum(solution.params.H**2) / 2:.12f} the measured |H|^2/2")

# %% [markdown]
# ## Its flow
#
# Gradient flow from a random start, by an adaptive Runge-Kutta method: the singular values of $WH$ grow to their predicted levels,
# and samples of a class fall together. What the classifier does not see of a feature feels the ridge alone, so that the scatter
# within classes falls at the rate $2 \lambda_H$ in the end, whatever the loss.


# %%
def within(problem, params):
    """The scatter of the features around their class means, a mean over samples."""
    means = problem.group_sum(params.H) / problem.counts
    return {"scatter within classes": jnp.sum((params.H - means[:, problem.labels]) ** 2) / problem.samples}


start = ufm.initialize(problem, jax.random.key(1), 0.1)
ts = np.geomspace(1.0, 10 / l2_H, 40 if QUICK else 120)
path = ufm.flow(problem, start, ts, record=within)
print(path)

# %%
levels = None if prediction is None else np.prod(prediction.singular_values, axis=0)
_, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
ufm.plot.singular_values(problem, path, closed_form=levels, ax=left)
ufm.plot.metrics_in_time(path, rates={"scatter within classes": 2 * l2_H}, ax=right)
plt.show()

# %% [markdown]
# ## A sweep
#
# `ufm.sweep` runs a function of a problem on a grid and gives an xarray Dataset; `ufm.sweeps.phase_diagram` adds the boundary that
# the closed form draws. Here the phase is the rank of the logits: how many directions survive the two ridges. Under squared error
# without bias, class $k$ dies where $\lambda_W \lambda_H = n_k / N^2$.

# %%
edge = max(counts) / sum(counts) ** 2 / l2_W  # the last class dies near this l2_H
cells = 5 if QUICK else 13
axes = {"l2_W": l2_W * np.geomspace(0.1, 10, cells), "l2_H": edge * np.geomspace(0.01, 20, cells)}
if prediction is not None:
    grid = ufm.sweeps.phase_diagram(problem, *axes.items())
    grid.phase.attrs["long_name"] = "rank"
    ufm.plot.phase_diagram(grid)
else:
    grid = ufm.sweep("minimum", problem, axes).isel(seed=0)
    ufm.plot.heat_map(grid, "rank")

# %% [markdown]
# ## What else
#
# `ufm.verify("mse-balanced-deep")` holds a theorem against its measurement; `ufm.catalogue()` lists them all, refuted ones too.
# Notebook 02 goes from balanced to imbalanced classes, 03 shows a claim that fails, and 10 takes your own loss and features.

# %% [markdown]
# ## The claim, checked

# %%
assert solution.status == ufm.Status.CONVERGED
print(f"measured minimum      {solution.value:.12f}")
if prediction is not None:
    print(f"closed form           {prediction.value:.12f}  ({prediction.theorem})")
    assert abs(solution.value - prediction.value) < 1e-9 * prediction.value
    share = float((grid.phase == grid.predicted_phase).mean())
    print(f"cells of the phase diagram as predicted: {share:.0%}")
    assert share > 0.8  # cells on the very boundary may fall either way
if certificate is not None:
    print(f"no point lies below   {certificate.lower_bound:.12f}  ({certificate.relative_gap:.1e} of the minimum)")
    assert certificate.relative_gap < 1e-6
print(f"the flow ended at     {path.value[-1]:.12f}")
assert -1e-9 < path.value[-1] - solution.value < 1e-3 * solution.value
names = {"none": "a geometry without a name"}
geometry = names.get(found.means.name, f"the geometry '{found.means.name}'") if solution.rank else "zero"
certified = "convex duality certifies it as the global minimum" if certificate else "nothing here certifies it as the global minimum"
print(f"Verdict: the class means end in {geometry}; {certified}.")
