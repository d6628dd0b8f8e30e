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
# # Perturbation: what one more layer does to features near collapse
#
# **Claim.** A layer has features $H_0$; the next one may choose features $H$ near them and a classifier on top,
#
# $$\min_{W, H}\; \frac1{2N} \|WH - Y\|^2 + \frac{\lambda_W}2 \|W\|^2 + \frac{\lambda_H}2 \|H\|^2 + \frac\beta2 \|H - H_0\|^2 .$$
#
# Around a collapsed minimum the answer $dH$ to a change $dH_0$ is linear: each direction shrinks by $B/(B + \mu)$, $B = N\beta$,
# with one of four curvatures $\mu$. Variability within classes and unequal norms and angles heal, rotations never do. A larger
# ridge on the features collapses faster, a larger one on the classifier slower (Tirer, Huang, Niles-Weed 2023, [arXiv
# 2210.16658](https://arxiv.org/abs/2210.16658), to first order in $1/\beta$; the spectrum for every $\beta$ is derived in ufm:
# `near-collapse-map` and `near-collapse-nc1` of `ufm.catalogue()`).
#
# | direction | $\mu$ |
# | --- | --- |
# | within classes, seen by the classifier (in the span of the class means) | $s$ |
# | within classes, unseen | $\ell_H$ |
# | norms and angles of the class means | $4 \ell_H (1 - c)$ |
# | rotations of their frame | $0$ |
#
# with $\ell_W = K \lambda_W$, $\ell_H = N \lambda_H$, $c = \sqrt{\ell_H \ell_W} < 1$ and $s = \sqrt{\ell_H/\ell_W}$.

# %%
import os

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

jax.config.update("jax_enable_x64", True)
import ufm
import ufm.plot
from ufm.features import digits, near_collapse_factor, perturb, proximity
from ufm.theory.perturbation import Perturbation

QUICK = "UFM_QUICK" in os.environ  # reduced sizes, as in the tests

# %% [markdown]
# **The cell to change.** The ridges must leave the minimum alive ($c < 1$), the closed map asks for $d \ge K$. `loss` and
# `epochs` are those of the real network at the end.

# %%
K, n, d = 4, 5, 7  # classes, samples a class, dimensions of the features
l2_W, l2_H = 0.1, 0.01  # the ridges
beta = 0.03  # strength of the proximity term in the map over the ridges
loss, epochs = "mse", 30 if QUICK else 300  # of the network: "mse" or "ce"

# %% [markdown]
# ## The collapsed minimum

# %%
N, lW, lH = K * n, K * l2_W, K * n * l2_H
c, s = np.sqrt(lH * lW), np.sqrt(lH / lW)
if c >= 1 or d < K:
    raise ValueError(f"c = {c:.3g} must be below 1 and d = {d} at least K = {K}: change the cell above")
plain = ufm.Problem.balanced(K, n, d, l2_W=l2_W, l2_H=l2_H)
collapsed = jax.jit(ufm.predict)(plain).params
model = plain.replace(beta=beta, H0=collapsed.H)
print(f"c = {c:.3g}, s = {s:.3g}, squared length of a class mean (1 - c)/s = {(1 - c) / s:.3g}")

# %% [markdown]
# ## The linear map, direction by direction
#
# A random change of the features is split into the four kinds of the table. For each, and for weak to strong proximity, the
# minimiser is computed anew at $H_0 = H^* \pm \varepsilon\, dH_0$; the difference over $2\varepsilon$ is held against the closed
# form.

# %%
M = np.asarray(collapsed.H).reshape(d, K, n).mean(axis=2)
R = M / np.linalg.norm(M, axis=0)
change = np.random.default_rng(0).normal(size=(d, N))
dM = change.reshape(d, K, n).mean(axis=2)
D, lengthen = change - np.repeat(dM, n, axis=1), R @ (R.T @ dM + dM.T @ R) / 2
kinds = {
    "within classes, seen": (s, R @ R.T @ D),
    "within classes, unseen": (lH, D - R @ R.T @ D),
    "norms and angles": (4 * lH * (1 - c), np.repeat(lengthen, n, axis=1)),
    "rotations": (0.0, np.repeat(dM - lengthen, n, axis=1)),
}
kinds = {name: (mu, v) for name, (mu, v) in kinds.items() if np.linalg.norm(v) > 1e-9}  # n = 1 or d = K leave some empty

# %%
step, strengths = 1e-3, s * np.geomspace(1e-2, 1e2, 5 if QUICK else 9)


def answer(direction, B):
    """dH for a change of H0 along the direction, by central differences of the minimiser."""
    ends = []
    for sign in (1, -1):
        moved = model.replace(H0=collapsed.H + sign * step * direction, beta=B / N)
        ends.append(ufm.solve(moved, collapsed._replace(H=moved.H0), tolerance=1e-13).params.H)
    return np.asarray(ends[0] - ends[1]) / (2 * step)


closed = jax.jit(ufm.catalogue()["near-collapse-map"].predict)
measured, errors = {}, {}
for name, (_, v) in kinds.items():
    answers = [answer(v, B) for B in strengths]
    maps = [closed(Perturbation(model.replace(beta=B / N), collapsed, jnp.asarray(v))) for B in strengths]
    measured[name] = [np.sum(dH * v) / np.sum(v**2) for dH in answers]
    errors[name] = max(np.max(np.abs(dH - F)) / np.max(np.abs(v)) for dH, F in zip(answers, maps, strict=True))
    print(f"{name:24} measured answer off the closed map by at most {errors[name]:.1e}")

# %%
figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
fine = s * np.geomspace(1e-2, 1e2, 200)
for i, (name, (mu, _)) in enumerate(kinds.items()):
    ax.plot(fine / s, fine / (fine + mu), color="black", linestyle=(0, (4, 2)), label=None if i else "$B/(B + \\mu)$")
    ax.plot(strengths / s, measured[name], "os^D"[i], color=("#0072B2", "#D55E00", "#009E73", "#CC79A7")[i], label=name)
ax.set(xscale="log", xlabel=r"strength of the proximity term, $N\beta/s$", ylabel="what is left of a change of $H_0$")
ax.legend(bbox_to_anchor=(1.02, 1), loc="upper left", frameon=False)
plt.show()

# %% [markdown]
# Read from the right: a strong tie to $H_0$ passes everything on. As it gets weaker, variability that the classifier sees goes
# first ($s$ is the largest curvature), and only rotations of the whole frame are kept to the end: which collapsed minimum is
# reached is for $H_0$ to say (for $\beta \to 0$ the nearest one: `proximity-small-beta`).
#
# ## What the ridges do
#
# With $q$ the share of the variability within classes that the classifier sees, $\mathrm{NC}_1 =
# \mathrm{tr}\,\Sigma_W/\mathrm{tr}\,\Sigma_B$ is multiplied by
#
# $$q \left( \frac{B}{B + s} \right)^2 + (1 - q) \left( \frac{B}{B + \ell_H} \right)^2 .$$
#
# `ufm.sweep` carries any function of a problem over a grid of its numbers, in compiled programs: here the minimiser next to noisy
# collapsed features, at every pair of ridges around those above.

# %%
noise = jnp.asarray(D / np.linalg.norm(D)) if n > 1 else None


def attenuation(problem):
    """NC1 at the minimiser over NC1 of noisy collapsed features: measured (mean over the sign of the noise), and predicted."""
    point = ufm.predict(problem).params
    size = jnp.linalg.norm(point.H)

    def ratio(epsilon):
        H0 = point.H + epsilon * size * noise
        H = ufm.solve(problem.replace(beta=beta, H0=H0), point._replace(H=H0)).params.H
        before, after = (ufm.metrics.nc1_trace_ratio(x, problem.labels, K, samples_axis=1) for x in (H0, H))
        return after / before

    near = Perturbation(problem.replace(beta=beta, H0=point.H), point, noise)
    formula = ufm.catalogue()["near-collapse-nc1"].predict(near)
    seen = jnp.where(size > 0, jnp.mean(jax.lax.map(ratio, jnp.asarray([1e-3, -1e-3]))), jnp.nan)
    return {"left": seen, "formula": jnp.where(size > 0, formula, jnp.nan)}


# %%
if n > 1:
    points = 4 if QUICK else 14
    axes = {"l2_W": l2_W * np.geomspace(0.03, 30, points), "l2_H": l2_H * np.geomspace(0.03, 30, points)}
    grid = ufm.sweep(attenuation, plain, axes, progress=False)
    grid.left.attrs["long_name"] = f"NC1 after / before, at beta = {beta:g}"
    ax = ufm.plot.heat_map(grid, "left")
    ax.plot(axes["l2_W"], 1 / (K * N * axes["l2_W"]), color="black", linewidth=2)
    ax.plot(l2_W, l2_H, "*", color="#D55E00", markersize=14)
    plt.show()

# %% [markdown]
# The star marks the settings above. Up the figure (a larger ridge on the features) NC1 falls further, to the right (a larger one
# on the classifier) less. Beyond the black line $c \ge 1$: the minimum is zero, and there is no collapse to speak of (hatched).
#
# ## Real digits
#
# A perceptron of five hidden layers is trained on the 8 x 8 digits of scikit-learn (`pip install 'ufm[networks]'`, which
# `ufm[notebooks]` includes; at the prompt: `ufm perturb`). Next to the features of each layer the minimiser of the model is
# computed: its $c$ is the one of the effective ridges of the trained last layer, its scale that of the layer, and $\beta$ is such
# that it moves as far as the features of the next layer have moved. Its NC1 is then compared with the next layer's, to which
# nothing was fitted.

# %%
report = perturb(loss=loss, epochs=epochs)
print(report.source, *report.notes, sep="\n")
for step_ in report.transitions:
    print(f"{step_.layer:>9} to {step_.following}: NC1 {step_.nc1:.3g} -> {step_.nc1_next:.3g}, predicted {step_.predicted:.3g}")
print(report.summary)

# %%
if report.transitions:
    figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
    names = [report.transitions[0].layer] + [x.following for x in report.transitions]
    ax.plot(names, [report.transitions[0].nc1] + [x.nc1_next for x in report.transitions], "o-", color="#0072B2", label="trained network")
    ax.plot(names[1:], [x.predicted for x in report.transitions], "s", color="#D55E00", label="proximity model")
    ax.plot(names[1:], [x.near_collapse for x in report.transitions], "^", color="#009E73", label="near collapse")
    ax.set(yscale="log", xlabel="layer", ylabel=r"NC1 = tr $\Sigma_W$ / tr $\Sigma_B$")
    ax.legend(bbox_to_anchor=(1.02, 1), loc="upper left", frameon=False)
    plt.show()

# %% [markdown]
# ### The pixels themselves, far from collapse
#
# The pixels as $H_0$: weak proximity collapses them, strong proximity leaves them. Whatever $H_0$, NC1 is lower at every
# stationary point where $B + \ell_H \ge 1/(2 \ell_W)$ (`proximity-nc1-threshold`, balanced classes); below, that is a conjecture
# for global minima (`proximity-nc1-global`).

# %%
images, labels, *_ = digits(per_class=100)
pixels, classes, samples = images.reshape(len(images), -1).T, 10, len(images)
ridges = (report.transitions[0].l2_W, report.transitions[0].l2_H) if report.transitions else (1e-2, 1e-6)
unit = np.sqrt(samples * ridges[1] / (classes * ridges[0])) / samples  # beta of N beta = s
betas = unit * np.geomspace(1e-2, 1e3, 6)
before = float(ufm.metrics.nc1_trace_ratio(jnp.asarray(pixels), labels, classes))
after = [float(ufm.metrics.nc1_trace_ratio(proximity(pixels, labels, *ridges, b).H, labels, classes)) for b in betas]
proved = betas + ridges[1] >= 1 / (2 * classes * ridges[0] * samples)
for b, x, sure in zip(betas, after, proved, strict=True):
    first = before * near_collapse_factor(pixels, labels, *ridges, b)
    told = "proved to fall" if sure else ""
    print(f"N beta/s = {b / unit:8.3g}: NC1 {before:.3g} -> {x:.3g} (near-collapse formula {first:.3g}) {told}".rstrip())

# %% [markdown]
# ## Check

# %%
print(f"the linear map: worst error {max(errors.values()):.1e}")
assert max(errors.values()) < 1e-4
if n > 1:
    off = abs(grid.left / grid.formula - 1)
    print(f"NC1 over {int(off.count())} pairs of ridges: worst relative error {float(off.max()):.1e}")
    assert float(off.max()) < 1e-3
    assert float(grid.left.diff("l2_H").max()) < 1e-5 and float(grid.left.diff("l2_W").min()) > -1e-5
    print("Near collapse the answer is the closed map: ridges on the features collapse more, ridges on the classifier less.")
falls = np.array(after) < before
print(f"digits: NC1 falls at {falls.sum()} of {falls.size} strengths, of which {proved.sum()} are covered by the theorem")
assert falls[proved].all()
print(f"Far from it, on real digits: {report.summary}.")
