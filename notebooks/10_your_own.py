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
# # Your own loss, your own features
#
# **Claim.** A loss that nobody has analysed takes one line. For a convex one, a search from one random start finds the global
# minimum of the one-layer model and convex duality certifies it, the tighter if you know the conjugate (Zhou et al. 2022,
# [arXiv 2203.01238](https://arxiv.org/abs/2203.01238), for the benign landscape; the bound at any point is derived in ufm). What is
# found has a name and a place among the known losses, from which a conjecture can be read off and tested. And features of a trained
# network, from any framework, are held against the theory through one `.npz` file.

# %%
import os
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

jax.config.update("jax_enable_x64", True)
import ufm
import ufm.plot

QUICK = "UFM_QUICK" in os.environ  # reduced sizes, as in the tests

# %% [markdown]
# **The first cell to change: the loss**, a function of one column of logits $z$ and its target $y$, both of shape $(K,)$. Log-cosh is
# squared error near the target and absolute error far from it. `conjugate` and `conjecture` may be `None`. Others to try:
#
# | loss | value | conjugate |
# | --- | --- | --- |
# | pseudo-Huber | `jnp.sum(jnp.sqrt(1 + (z - y) ** 2) - 1)` | `jnp.sum(theta * y + 1 - jnp.sqrt(1 - theta**2))` |
# | quartic | `jnp.sum((z - y) ** 4) / 4` | `jnp.sum(theta * y + 0.75 * jnp.abs(theta) ** (4 / 3))` |
# | hot cross-entropy | `2 * ufm.losses.get_loss("ce").value(z / 2, y)` | `None` |
# | Cauchy (not convex) | `jnp.sum(jnp.log1p((z - y) ** 2)) / 2` | `None` |


# %%
def value(z, y):
    """The loss of one sample: sum_k log cosh(z_k - y_k)."""
    return jnp.sum(jnp.logaddexp(z - y, y - z) - jnp.log(2.0))


def conjugate(theta, y):
    """sup_z <theta, z> - value(z, y), finite for |theta_k| <= 1."""
    inside = jnp.all(jnp.abs(theta) <= 1)
    t = jnp.clip(theta, -1, 1)
    entropy = jax.scipy.special.xlogy(1 + t, 1 + t) + jax.scipy.special.xlogy(1 - t, 1 - t)
    return jnp.where(inside, jnp.sum(theta * y + entropy / 2), jnp.inf)


convex = True  # tried at random points where the loss is made, not proved


# %%
def conjecture(K, c):
    """(logit of the own class, logit of others) at the minimum, c = sqrt(l2_W l2_H n); None for no conjecture."""
    return 1 - np.arctanh(min(K * c, np.tanh(1.0))), 0.0


K, n, d = 4, 10, 6  # classes, samples of the largest class, dimensions of the features (at least K)
imbalance = 1.0  # largest over smallest class: an exponential long tail above 1
bias = "none"  # "none" or "ridge" ("free" needs the conjugate)
l2_W, l2_H = 5e-3, 1e-2  # the ridges
own = None  # your features: a path to a .npz of H (d, N), labels (N,) and maybe W (K, d), b (K,), H0 (d0, N); None makes one

# %% [markdown]
# ## Declared and checked
#
# A wrong conjugate would give a wrong certificate, so `ufm.Loss` tries what you declare at random points and refuses what fails there. By
# hand, two lines find most slips: along any
# segment a convex loss lies below its chord, and Fenchel and Young want $\ell(z) + \ell^*(\theta) \ge \langle \theta, z \rangle$, with equality at
# $\theta = \nabla \ell(z)$.

# %%
plain = ufm.Loss("mine", value, convex=convex)
full = ufm.Loss("mine, with conjugate", value, conjugate, convex=convex)
z, other = 3 * jax.random.normal(jax.random.key(0), (2, 1000, K))
y = jnp.eye(K)[jnp.arange(1000) % K]
ell, slope = jax.jit(jax.vmap(value)), jax.jit(jax.vmap(jax.grad(value)))
chord = float(jnp.min((ell(z, y) + ell(other, y)) / 2 - ell((z + other) / 2, y)))
print(f"convex: chords are above by at least {chord:.1e}" if chord > -1e-12 else f"NOT convex: a chord is {-chord:.1e} below")
if conjugate is not None:
    star = jax.jit(jax.vmap(conjugate))(slope(z, y), y)
    young = float(jnp.max(jnp.abs(ell(z, y) + star - jnp.sum(slope(z, y) * z, axis=1))))
    least = float(jnp.min(ell(other, y) + star - jnp.sum(slope(z, y) * other, axis=1)))
    print(f"conjugate: Fenchel-Young off by {young:.0e} at the gradient, and elsewhere at least {least:.0e}")
    assert young < 1e-8 and least > -1e-8
assert not convex or chord > -1e-12

# %% [markdown]
# ## Its minimiser
#
# Every sample is a column of its own and starts at random: collapse is found, not assumed.

# %%
counts = [max(1, round(n * imbalance ** (-k / (K - 1)))) for k in range(K)]
choices = {"bias": bias, "l2_W": l2_W, "l2_H": l2_H, "l2_b": l2_W if bias == "ridge" else 0.0}
problem = ufm.Problem.imbalanced(counts, d, loss=plain if conjugate is None else full, **choices)
solution = ufm.solve(problem, jax.random.key(0), columns="raw")
solution

# %% [markdown]
# ## Its certificate, with and without a conjugate
#
# Without the conjugate the bound is the supporting plane of the loss at the point: as good at the minimum itself, weaker elsewhere,
# and unable to say much far from it. Either bound loses in first order what $f$ itself loses in second: certify converged points.
# Along the segment from the minimum to a random point:


# %%
def ask(question, *arguments):
    """The answer, or None where ufm refuses, saying why."""
    try:
        return question(*arguments)
    except ValueError as refusal:
        print(f"ufm refuses: {refusal}")


start = ufm.initialize(problem, jax.random.key(1), 1.0)
distances = np.geomspace(1e-6, 1, 13)
certificates = {}
for name, known in {"without": plain, "with": full}.items():
    if name == "without" or conjugate is not None:
        stated = ufm.Problem.imbalanced(counts, d, loss=known, **choices)
        mix = [jax.tree.map(lambda a, b, t=t: (1 - t) * a + t * b, solution.params, start) for t in (0.0, *distances)]
        if ask(ufm.certify, stated, mix[0]) is not None:
            certificates[name] = [ufm.certify(stated, point) for point in mix]
            at = certificates[name][0]
            print(
                f"{name:8} a conjugate: f = {at.value:.12f}, no point below {at.lower_bound:.12f}, relative gap {at.relative_gap:.0e}"
            )

# %%
if certificates:
    figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
    for name, marker, colour in (("without", "s", "#D55E00"), ("with", "o", "#0072B2")):
        if name in certificates:
            low = [float(solution.value - x.lower_bound) for x in certificates[name][1:]]
            ax.loglog(distances, np.maximum(low, 1e-16), marker + "-", color=colour, label=f"{name} a conjugate")
    excess = [float(x.value - solution.value) for x in next(iter(certificates.values()))[1:]]
    ax.loglog(distances, np.maximum(excess, 1e-16), "k--", label="$f - f^*$ of the point itself")
    ax.set(xlabel="share of the way to a random point", ylabel="minimum less lower bound")
    ax.legend(bbox_to_anchor=(1.02, 1), loc="upper left", frameon=False)
    plt.show()

# %% [markdown]
# ## Its geometry
#
# `ufm.identify` measures the distance of the class means and of the classifier to every geometry it knows, and finds the permutations
# of classes that leave the point as it is.

# %%
found = ufm.identify(problem, solution.params)
print(found)

# %% [markdown]
# ## Among the known losses
#
# Equal classes without bias end, for a convex loss, in class logits $a (I - J) + b J$ ($J = \mathbf 1 \mathbf 1^\top / K$), found in two
# numbers. `ufm.atlas` shows them for any loss next to others: geometry, the threshold $c^*$ of $c = \sqrt{\lambda_W \lambda_H n}$ from which
# the minimum is zero, and how the minimum gets there (`ufm atlas` at the prompt for all losses of ufm).

# %%
c = float(np.sqrt(l2_W * l2_H * n))
peers = ["mse"] if QUICK else ["mse", "ce", "logistic", "squared_hinge"]
table = ufm.atlas.atlas(K, c, [plain, *peers])
for row in table.rows:
    end = "never zero" if row.threshold is None else f"zero from c* = {row.threshold:.6f} on ({row.order} order)"
    print(f"{row.loss:14} {row.geometry:18} a = {row.a:8.5f}, b = {row.b:8.5f}, {end}")

# %% [markdown]
# ## A conjecture, and its test
#
# Read off for log-cosh: the class means are an orthogonal frame, so $a = b = x$, the logit of the own class, and the others are 0. The
# gradient of the loss in the logits, $\tanh(x - 1)\, I$, must be $-K c$ times the identity, whence
#
# $$x = 1 - \operatorname{artanh}(K c), \qquad c^* = \tanh(1) / K .$$
#
# One sweep over the ridge, one compiled program: `ufm.solve` at every value, up to beyond the threshold of the atlas. Write your own
# `conjecture` above, and see.


# %%
def class_logits(problem):
    """Mean logits of the own and of the other classes at the minimum."""
    z = problem.group_sum(ufm.logits(problem, ufm.solve(problem, jax.random.key(0)).params)) / problem.counts
    same = jnp.trace(z) / K
    return {"own": same, "others": (jnp.sum(z) - K * same) / (K * (K - 1))}


mine = table.rows[0]
cs = np.unique([c, *((mine.threshold or 1.0) * np.linspace(0.02, 1.1, 6 if QUICK else 20))])
balanced = ufm.Problem.balanced(K, n, d, loss=plain, l2_W=l2_W, l2_H=l2_H)
swept = ufm.sweep(class_logits, balanced, {"l2_W": cs**2 / (l2_H * n)}, progress=False)

# %%
figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
for i, (name, marker, colour) in enumerate((("own", "o", "#0072B2"), ("others", "s", "#D55E00"))):
    ax.plot(cs, swept[name], marker, color=colour, label=f"found, {name}")
    if conjecture is not None:
        fine = np.linspace(cs[0], cs[-1], 200)
        ax.plot(fine, [conjecture(K, x)[i] for x in fine], "k--", label=None if i else "conjecture")
if mine.threshold is not None:
    ax.axvline(mine.threshold, color="grey", linewidth=1, label="$c^*$ of the atlas")
ax.set(xlabel=r"$c = \sqrt{\lambda_W \lambda_H n}$", ylabel="logits at the minimum")
ax.legend(bbox_to_anchor=(1.02, 1), loc="upper left", frameon=False)
plt.show()

# %% [markdown]
# ## Your own features
#
# A file of features from any framework will do. Here it is made: a perceptron of two hidden layers on digits, squared error and the
# same ridge on every weight, trained by `ufm.minimise`, which takes any function. At a stationary point the ridge that its last
# layer sees is the one it was trained with, which the file does not tell.

# %%
trained_ridge = 1e-3
if own is None:
    from ufm.features import digits

    images, labels, *_ = digits(per_class=20 if QUICK else 40)
    X, Y = jnp.asarray(images.reshape(len(images), -1).T), jnp.eye(10)[:, labels]

    def hidden(weights):
        """Features of the two hidden layers."""
        first = jax.nn.relu(weights[0] @ X)
        return first, jax.nn.relu(weights[1] @ first)

    def regularised(weights):
        """Squared error of the network and the ridge on all weights."""
        error = weights[2] @ hidden(weights)[1] - Y
        return jnp.sum(error**2) / (2 * X.shape[1]) + trained_ridge / 2 * sum(jnp.sum(W**2) for W in weights)

    keys, shapes = jax.random.split(jax.random.key(0), 3), ((32, 64), (24, 32), (10, 24))
    weights = [jnp.sqrt(2 / shape[1]) * jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)]
    network = ufm.minimise(regularised, weights, max_steps=300 if QUICK else 3000)
    H0, H = hidden(network.point)
    arrays = {"H": H, "labels": labels, "W": network.point[2], "H0": H0}
    print(f"trained: value {network.value:.5f}, gradient {network.gradient_norm:.1e} after {network.steps} steps")

# %% [markdown]
# All metrics of the file in float64, beside what they are at full collapse (`ufm metrics mine.npz` at the prompt; it also takes folders
# of files larger than memory). In Python, `ufm.metrics.summary` of `moments`:

# %%
from ufm.features import load_features

with tempfile.TemporaryDirectory() as folder:
    file = Path(own or Path(folder) / "mine.npz")
    if own is None:
        np.savez(file, **arrays)
    features = load_features(file)
state = ufm.metrics.streaming.moments(features.H, features.labels, features.classes, samples_axis=1)
shown = ("nc1_trace_ratio", "cdnv", "simplex_distance", "orthogonal_distance", "effective_rank", "nc3_alignment")
for metric in ufm.metrics.summary(state, features.W, features.b):
    if metric.name in shown:
        print(f"{metric.name:20} {metric.value:9.4f}   at collapse {metric.ideal:7.4f}   {metric.meaning}")

# %% [markdown]
# ## Its effective ridge, and the proximity model
#
# `ufm perturb --features mine.npz` at the prompt. From the features alone: the ridges for which $(W, H)$ is closest to stationary, the
# closed-form minimum at these ridges next to the trained layer, and, where the file has the layer before ($H_0$), the proximity model:
# its minimiser next to $H_0$, moved as far as $H$ has moved, predicts the NC1 of $H$ (see notebook 4).

# %%
from ufm.features import perturb

report = perturb(features, loss="mse")
if report.ridge is not None:
    r, near = report.ridge, report.comparison
    print(
        f"effective ridges: l2_W = {r.l2_W:.6f}, l2_H = {r.l2_H:.2e}, c = {r.c:.4f}; residuals {r.residual_W:.2g}, {r.residual_H:.2g}"
    )
    print(f"against {near.source}: value {near.value:.4g}, minimum {near.minimum:.4g}, class-mean logits off by {near.logits:.2%}")
for x in report.transitions:
    after = "" if x.following is None else f", of {x.following}: {x.nc1_next:.4g}"
    print(f"NC1 of {x.layer}: {x.nc1:.4g}{after}, predicted {x.predicted:.4g} at N beta/s = {x.strength:.3g}")
print(*report.notes, report.summary, sep="\n")

# %%
means = np.asarray(ufm.metrics.class_means(jnp.asarray(features.H), features.labels, features.classes, samples_axis=1))
W = means.T if features.W is None else features.W
figure, panels = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
for ax, (name, G) in zip(panels, {"class means": means.T @ means, "classifier": W @ W.T, "logits": W @ means}.items(), strict=True):
    image = ax.imshow(G, cmap="RdBu_r", clim=np.array([-1, 1]) * np.max(np.abs(G)))
    figure.colorbar(image, ax=ax, shrink=0.8)
    ax.set(title=name, xlabel="class")
plt.show()

# %% [markdown]
# ## Check

# %%
print(f"found: {found.means.name} (distance {found.means.distance:.0e}), classifier {found.classifier.name}, NC1 {found.nc1:.0e}")
for name, (at, *_) in certificates.items():
    print(f"certificate {name} a conjugate: relative gap {at.relative_gap:.0e}")
    assert abs(at.relative_gap) < 1e-6
    assert all(x.lower_bound <= solution.value + 1e-12 for x in certificates[name])
at = np.searchsorted(cs, c)
reduced = {"own": mine.b / K + mine.a * (1 - 1 / K), "others": (mine.b - mine.a) / K}
off = max(abs(float(swept[name][at]) - x) for name, x in reduced.items())
print(f"the two numbers of the atlas against the search, at c = {c:.4g}: logits off by {off:.0e}")
assert not convex or off < 1e-4
if conjecture is not None:
    wrong = max(abs(float(swept[name][i]) - conjecture(K, x)[j]) for j, name in enumerate(reduced) for i, x in enumerate(cs))
    print(f"the conjecture against {cs.size} minima: off by at most {wrong:.0e}: {'it stands' if wrong < 1e-5 else 'it FAILS'}")
if own is None:
    print(f"effective ridge over the one trained with: {report.ridge.l2_W / trained_ridge:.4f}")
    assert abs(report.ridge.l2_W / trained_ridge - 1) < 0.05
print("Verdict: one line is enough for a minimum, a certificate where the loss is convex, a name, and a conjecture to prove by hand.")
