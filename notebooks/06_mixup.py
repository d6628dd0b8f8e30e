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
# # Mixup: channels between the classes
#
# **Claim.** Train features and classifier on mixed targets $\lambda e_k + (1 - \lambda) e_l$ with cross-entropy. The classifier
# is still a simplex and the features of one class lie along its rows, but mixed features are *not* the mixtures of the features
# of classes: they lie in the plane of the two rows, at the minimiser of a convex potential of two scalars. As the ridges vanish
# they run out along a channel at the boundary between the classes, and their place across it is the log-odds of $\lambda$.
#
# Fisher, Meng and Papyan (2024, [arXiv 2402.06171](https://arxiv.org/abs/2402.06171)) observed the channels and assumed the
# simplex; that it is optimal, its size, the potential and the limits are derived in ufm: theorems `mixup-joint-scalar`,
# `mixup-fixed-simplex` and `mixup-limits` of `ufm.catalogue()`. Squared error has no channels (`mixup-mse`).

# %%
import os

import jax
import matplotlib.pyplot as plt
import numpy as np

jax.config.update("jax_enable_x64", True)
import ufm
import ufm.plot
from ufm.settings.mixup import lambda_nodes, mixup_problem, mixup_types
from ufm.theory.mixup import MixedSamples, two_logits

QUICK = "UFM_QUICK" in os.environ  # reduced sizes, as in the tests

# %% [markdown]
# **The cell to change.** $\lambda$ has the law $\mathrm{Beta}(\alpha, \alpha)$: a small $\alpha$ hardly mixes, $\alpha = 1$ is
# uniform. The figure in the plane needs three classes, everything else any number of them.

# %%
K, d = 3, 3  # classes, dimensions of the features (at least K - 1)
alpha = 1.0  # of the law of lambda
l2_W, l2_H = 0.003, 0.003  # the ridges
nodes = 4 if QUICK else 9  # values of lambda that stand for its law (Gauss-Jacobi)

# %% [markdown]
# ## The minimum: predicted, found, certified
#
# With free features each kind of target has one optimal feature, so a column of $H$ stands for a kind: the classes, and each pair
# $k \neq l$ at each value of $\lambda$. With the probabilities $p_c$ of the kinds,
#
# $$f(W, H) = \sum_c p_c \left[ \mathrm{CE}(W h_c, q_c) + \frac{\lambda_H}2 \|h_c\|^2 \right] + \frac{\lambda_W}2 \|W\|^2 .$$

# %%
mixture = mixup_types(K, *lambda_nodes(alpha, nodes))
problem = mixup_problem(mixture, d, l2_W=l2_W, l2_H=l2_H)
predicted = ufm.predict(problem)
found = ufm.solve(problem, jax.random.key(0))
bound = ufm.certify(problem, found.params)
kappa = float(np.sum(found.params.weights[0] ** 2) / (K - 1) / l2_H)
print(f"{problem.columns} kinds of targets")
print(f"predicted minimum {predicted.value:.12f} by {predicted.theorem}")
print(f"found from a random start {found.value:.12f}, no point is below {bound.lower_bound:.12f}")
print(f"kappa = |W|^2 / ((K - 1) l2_H) = {kappa:.6g}")

# %% [markdown]
# Strong ridges leave nothing: everything is zero unless $\lambda_W \lambda_H (K - 1)$ is below the variance of the targets.

# %%
variance = float(mixture.probability @ (np.sum(mixture.targets**2, axis=0) - 1 / K))
alive = l2_W * l2_H * (K - 1) < variance
print(f"l2_W l2_H (K - 1) = {l2_W * l2_H * (K - 1):.3g}, variance of the targets = {variance:.3g}: {'alive' if alive else 'zero'}")
if alive and K == 3:
    ufm.plot.mixup_features(problem, found, predicted=predicted)
    plt.show()

# %% [markdown]
# In the figure (for $K = 3$) stars are the classes, on the rows of the classifier; small markers are the mixed features that the
# search found, on the dashed lines of the closed form. Between two stars they bulge outwards, away from the third class and off
# the straight chord on which mixtures of the two stars lie.
#
# ## One sample at a time
#
# Given the simplex, a feature sees nothing but its own target and $\kappa = \|W\|^2/((K-1) \lambda_H)$. Its logits are $x$ and
# $y$ at the two mixed classes, above those of the others, with
#
# $$(x, y) = \arg\min\; \log(e^x + e^y + K - 2) - \lambda x - (1 - \lambda) y + \frac{x^2 + y^2 - (x + y)^2/K}{2 \kappa} .$$
#
# `across` and `along` below are coordinates in the plane of the two rows, in units of the length of a feature of one class.


# %%
odds = np.linspace(-25, 25, 101)  # log-odds of lambda along the channel
minimiser = jax.jit(two_logits, static_argnums=0)
side = np.sqrt([1 / 2, 1 / 2 - 1 / K]) / np.sqrt(1 - 1 / K)  # a feature of one class, across and along
rows = np.array([[side[0], 0, -side[0]], [side[1], 0, side[1]]])


def channel(kappa, lam=0.5):
    """Logits x, y and the place across and along the boundary: of `lam` first, then of all `odds`."""
    t = np.concatenate([[lam], 1 / (1 + np.exp(-odds)), [1.0]])  # the last one: a feature of one class
    x, y = (np.asarray(z) for z in minimiser(K, t, np.full(t.shape, kappa)))
    unit = np.sqrt(x[-1] ** 2 + y[-1] ** 2 - (x[-1] + y[-1]) ** 2 / K)
    return np.stack([x, y, (x - y) / np.sqrt(2) / unit, (x + y) * np.sqrt(0.5 - 1 / K) / unit])[:, :-1]


# %%
figure, (plane, law) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
sizes = [1e-1, 1e1, 1e2, 1e4, 1e6]
for i, size in enumerate(sizes):
    x, y, across, along = channel(size)[:, 1:]
    style = {"color": plt.colormaps["cividis"](i / len(sizes)), "marker": "os^Dv"[i], "markevery": 4, "markersize": 4}
    plane.plot(across, along, **style)
    law.plot(odds, x - y, label=rf"$\kappa = 10^{{{np.log10(size):.0f}}}$", **style)
law.plot(odds, odds, color="black", linestyle=(0, (4, 2)), label=r"limit $\log \lambda - \log(1 - \lambda)$")
plane.plot(*rows, color="grey", linestyle=(0, (4, 2)), label="rows of $W$")
plane.set(xlabel="across / length of one class", ylabel="along / length of one class", aspect="equal")
law.set(xlim=(-13, 13), ylim=(-13, 13), xlabel=r"log-odds of $\lambda$", ylabel=r"difference of the two logits, $x - y$")
plane.legend(fontsize=8, loc="lower left")
law.legend(fontsize=8)
plt.show()

# %% [markdown]
# Strong ridges (small $\kappa$) give the straight chord: features linear in the target, as under squared error. Weak ridges give
# the channel: the softmax is then the target itself, which fixes $x - y$ at the log-odds of $\lambda$, and all further length is
# spent on driving the other classes down, $x + y = 2 W_0(\kappa K \sqrt{\lambda (1 - \lambda)}/2) \approx 2 \log \kappa$ with
# Lambert's function $W_0$ (for $K > 2$; two classes leave no others to drive down). Measured in the length of one class the
# channel gets ever narrower.
#
# ## By hand
#
# `show` draws one sample on its channel, and its target against what the softmax makes of its feature.


# %%
def show(lam=0.7, kappa=100.0):
    """One mixed sample: where its feature is, and what the classifier says of it."""
    course = channel(kappa, lam)
    x, y, across, along = course[:, 0]
    z = np.array([x, y] + [0.0] * (K - 2)) if K > 2 else np.array([x, y])
    softmax = np.exp(z - z.max()) / np.sum(np.exp(z - z.max()))
    figure, (plane, bars) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    plane.plot(*rows, color="grey", linestyle=(0, (4, 2)))
    plane.plot(*course[2:, 1:], color="#0072B2")
    plane.plot(across, along, "o", color="#D55E00", markersize=9)
    plane.set(xlabel="across", ylabel="along", title=rf"$\lambda = {lam:.2f}$, $\kappa = {kappa:.3g}$", aspect="equal")
    plane.set(xlim=(-1, 1), ylim=(-0.1, 1.4))
    classes = np.arange(1, K + 1)
    bars.bar(classes - 0.2, [lam, 1 - lam] + [0.0] * (K - 2), 0.4, color="#0072B2", label="target")
    bars.bar(classes + 0.2, softmax, 0.4, color="#D55E00", hatch="//", label="softmax")
    bars.set(xlabel="class", ylabel="probability", xticks=classes, ylim=(0, 1))
    bars.legend(fontsize=8)
    plt.show()


show(lam=0.7, kappa=100.0)

# %% [markdown]
# With `pip install ipywidgets` the next cell has sliders for $\lambda$ and $\kappa$; without it, call `show` with numbers of your
# own.

# %%
try:
    from ipywidgets import FloatLogSlider, FloatSlider, interact
except ImportError:
    print("no sliders here: show(lam=0.3, kappa=1e4) draws any other sample")
else:
    interact(show, lam=FloatSlider(0.7, min=0.01, max=0.99, step=0.01), kappa=FloatLogSlider(100, min=-1, max=6))

# %% [markdown]
# ## Squared error has no channels
#
# Under squared error features are one linear map of the targets: the feature of $\lambda e_k + (1 - \lambda) e_l$ is the mixture
# of the two classes' features. How far mixed features are from these mixtures, relative to the length of a feature of one class:


# %%
def off_the_chord(point):
    """Largest distance of a mixed feature from the mixture of the features of its classes (the first K columns)."""
    features = np.asarray(point.params.H) / np.sqrt(np.asarray(problem.multiplicity))
    chord = features[:, :K] @ np.asarray(problem.targets)
    return np.max(np.linalg.norm(features - chord, axis=0)) / max(np.linalg.norm(features[:, 0]), 1e-300)


squared = ufm.solve(problem.replace(loss="mse"), jax.random.key(0))
bent, straight = off_the_chord(found), off_the_chord(squared)
print(f"{'cross-entropy':14} {bent:.3g}\n{'squared error':14} {straight:.3g}")

# %% [markdown]
# ## Check
#
# The minimum that was found against the closed form and against duality; the channel against its limits at weak ridges, where the
# error is of order $\log(\kappa)/\kappa$; squared error against the chord.

# %%
excess = float((found.value - predicted.value) / predicted.value)
gap = float(bound.relative_gap)
weak = 1e6
inside = odds[abs(odds) < 4]  # the limits are about lambda away from 0 and 1
limit = ufm.catalogue()["mixup-limits"].predict(MixedSamples(K, 1 / (1 + np.exp(-inside)), weak)).near
x, y, *_ = channel(weak)[:, 1:][:, abs(odds) < 4]
error = max(np.max(np.abs(a - np.asarray(b))) for a, b in zip((x, y), limit, strict=True))
print(f"found - predicted {excess:.1e}, duality gap {gap:.1e} (relative); limits off by {error:.1e} at kappa = {weak:.0e}")

assert abs(excess) < 1e-9 and abs(gap) < 1e-8
assert error < 300 * np.log(K * weak) / weak
if alive:
    assert straight < 1e-6 and bent > 1e-2
    way = "run along channels" if K > 2 else "stay between their classes, with no channel to run out to"
    print(f"The simplex is optimal; mixed features {way}, up to {bent:.0%} of a class's length off their mixtures.")
else:
    print("These ridges are past the threshold: nothing is learned, and ufm predicts it.")
