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
# # Frames: how far apart can classes be?
#
# **Claim.** $K$ unit vectors in $d < K$ dimensions have a pair of $|\cos|$ at least $\sqrt{(K-d)/(d(K-1))}$, with equality exactly at
# equiangular tight frames (Welch 1974; `welch-bound`), and more than $d(d+1)/2$ of them a pair of at least $1/\sqrt d$ (Rankin 1955;
# `orthoplex-bound`). Equiangular basis vectors ask for a threshold on $|\cos|$ in the place of the optimum, for any number of classes
# (Shen, Sun, Wei 2023, [arXiv 2303.11637](https://arxiv.org/abs/2303.11637)): cheap some way above the bound, impossible below it.
# A sparse ETF (FedLoGe: Xiao et al. 2024, [arXiv 2401.08977](https://arxiv.org/abs/2401.08977)) can be an *exact* simplex: what decides
# is whether its nonzero entries, less its rows in use, outnumber $K(K-1)/2$ (`sparse-etf`: numerical, counting derived in ufm).

# %%
import os

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

jax.config.update("jax_enable_x64", True)
import ufm

QUICK = "UFM_QUICK" in os.environ  # reduced sizes, as in the tests

# %% [markdown]
# **The cell to change.** The sizes are those of the sections below.

# %%
K, d = 16, 6  # classes in too few dimensions (K > d >= 2)
dims = (2, 3) if QUICK else (2, 3, 4)  # of the map of bounds
largest = 7 if QUICK else 14  # vectors in that map
many, room = (300, 40) if QUICK else (1000, 100)  # classes of the equiangular basis, and its fewer dimensions
classes, width, zeros = 8, 24, 0.6  # of the sparse simplex, and its share of zeros

# %% [markdown]
# ## A frame carries its figures
#
# A `Frame` is a $(d, K)$ array of $K$ columns, as class means are everywhere in ufm, with its coherence (the largest $|\cos|$), the ratio
# to Welch's bound, its distance to a tight frame, and its share of zeros. Closed forms are built, not searched; where ufm knows
# none, it says so, and searches go on from random starts. (The sign of a line is a matter of taste; its $|\cos|$ does not see it.)


# %%
def ask(question, *arguments):
    """The answer, or None where ufm refuses, saying why."""
    try:
        return question(*arguments)
    except ValueError as refusal:
        print(f"ufm refuses: {refusal}")


key, starts = jax.random.key(0), 2 if QUICK else 4
exact = ask(ufm.frames.equiangular_lines, K, d)
frames = {
    "at random": ufm.frames.Frame(jax.random.normal(key, (d, K))),
    "lines, in closed form": exact,
    "lines, found (`grassmannian`)": ufm.frames.grassmannian(K, d, key, starts=starts).frame,
    "points, found (`spherical_code`)": ufm.frames.spherical_code(K, d, key, starts=starts).frame,
    "farthest from the others (`softmax_code`)": ufm.frames.softmax_code(K, d, key, starts),
}
frames = {name: frame for name, frame in frames.items() if frame is not None}
for name, frame in frames.items():
    print(f"{name:42} {frame}")

# %% [markdown]
# Lines ($|\cos|$) and points ($\cos$) are different questions, and a classifier asks a third one, below. In space:

# %%
corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]).T / np.sqrt(3)
shapes = {
    "simplex: 4 points": ufm.frames.simplex_etf(4, 3),
    "orthoplex: 6 points": ufm.frames.orthoplex(6, 3),
    "icosahedron: 6 lines": ufm.frames.equiangular_lines(6, 3),
    "cube and octahedron: 7 lines": ufm.frames.Frame(jnp.asarray(np.hstack([np.eye(3), corners]))),
}
figure, panels = plt.subplots(1, 4, figsize=(12, 3.2), subplot_kw={"projection": "3d"}, layout="constrained")
for ax, (name, frame) in zip(panels, shapes.items(), strict=True):
    for x in np.asarray(frame.vectors).T:
        tail = -x if "lines" in name else 0 * x
        ax.plot(*np.stack([tail, x], axis=1), color="#0072B2", linewidth=1.5)
        ax.plot(*x[:, None], "o", color="#D55E00", markersize=5)
    ax.set(title=name, xlim=(-1, 1), ylim=(-1, 1), zlim=(-1, 1), xticks=[], yticks=[], zticks=[], aspect="equal")
    angle = float(np.degrees(np.arccos(frame.coherence if "lines" in name else frame.signed_coherence)))
    ax.set_xlabel(f"least angle {angle:.2f}°")
plt.show()

# %% [markdown]
# ## The bounds, and what is found
#
# `ufm.frames.line_bound` is the best of Welch's, the orthoplex and Levenshtein's bound, `rankin_bound` the one on points. Every search
# starts at random and knows no bound.

# %%
from ufm.frames import spread

noise = jax.random.normal(key, (starts, max(d, *dims), max(K, largest)))


def packed(K, dim, signed):
    """The least of the largest cosines over all starts; one compiled program for all K and dim."""
    rows, columns = jnp.arange(noise.shape[1]) < dim, jnp.arange(noise.shape[2]) < K
    found, _ = spread(jnp.where(rows[None, :, None], noise, 0), columns, signed, dim)
    figure = ufm.frames.signed_coherence if signed else ufm.frames.coherence
    return min(float(figure(frame[:dim, :K])) for frame in found)


sizes = {dim: np.arange(2, largest + 1) for dim in dims}
found = {(dim, signed): np.array([packed(K, dim, signed) for K in sizes[dim]]) for dim in dims for signed in (False, True)}

# %%
bounds = {False: ufm.frames.line_bound, True: ufm.frames.rankin_bound}
best = {(dim, signed): np.array([bounds[signed](int(K), dim) for K in sizes[dim]]) for dim, signed in found}
_, panels = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
for (dim, signed), values in found.items():
    i, ax = dims.index(dim) % 5, panels[int(signed)]
    colour = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")[i]
    ax.plot(sizes[dim], best[dim, signed], color=colour, label=f"bound, d = {dim}")
    ax.plot(sizes[dim], values, "o^sDv"[i], color=colour, label=f"found, d = {dim}")
    if not signed:
        ax.plot(sizes[dim], [ufm.frames.welch_bound(int(K), dim) for K in sizes[dim]], ":", color=colour)
panels[0].set(xlabel="vectors $K$", ylabel=r"largest $|\cos|$", title="lines (dotted: Welch's bound alone)")
panels[1].set(xlabel="vectors $K$", ylabel=r"largest $\cos$", title="points")
panels[1].legend(bbox_to_anchor=(1.02, 1), loc="upper left", frameon=False)
plt.show()

# %%
for (dim, signed), values in found.items():
    met = sizes[dim][values <= best[dim, signed] + 1e-4]
    what = "points" if signed else "lines "
    print(f"d = {dim}, {what}: bound met (to 1e-4) for K = {', '.join(map(str, met))}")

# %% [markdown]
# ## Equiangular basis vectors
#
# How many dimensions do so many classes need, if every two shall be at least so many degrees from parallel and antiparallel? Welch's
# bound, solved for $d$, says $d \ge K/(1 + (K-1)\cos^2)$; that there is such a frame is for the search to show.

# %%
for angle in (60, 70, 80, 85, 88):
    least = many / (1 + (many - 1) * np.cos(np.radians(angle)) ** 2)
    print(f"{many} classes, {angle} degrees: at least {int(np.ceil(least - 1e-9))} dimensions")

# %%
bound = ufm.frames.line_bound(many, room)
ratios = [r for r in (1.3, 1.4, 1.5, 1.6, 1.8, 2.0, 2.5, 3.0) if r * bound < 1]
bases = [ufm.frames.equiangular_basis(many, room, r * bound, key, max_steps=50 if QUICK else 150) for r in ratios]
for ratio, basis in zip(ratios, bases, strict=True):
    end = "met" if basis.status == ufm.Status.REACHED else "not met"
    print(
        f"threshold {ratio:4.2f} of the bound: largest |cos| {basis.coherence / bound:.4f} of it, {int(basis.steps):3d} steps, {end}"
    )
ask(ufm.frames.equiangular_basis, many, room, 0.99 * bound, key)
# %%
reached = [i for i, basis in enumerate(bases) if basis.status == ufm.Status.REACHED]
pairs, U = np.triu_indices(many, 1), np.random.default_rng(0).normal(size=(room, many))
cosines = np.abs(U.T @ U / np.linalg.norm(U, axis=0)[:, None] / np.linalg.norm(U, axis=0))[pairs]
_, (left, right) = plt.subplots(1, 2, figsize=(11, 3.4), layout="constrained")
left.hist(cosines, 120, histtype="step", color="gray", label="at random")
if reached:
    left.hist(np.abs(bases[reached[0]].frame.gram)[pairs], 120, histtype="step", color="#0072B2", label="equiangular basis")
left.axvline(bound, color="black", linestyle="--", label="bound")
left.set(xlabel=r"$|\cos|$", ylabel="pairs", yscale="log")
left.legend(frameon=False)
steps = np.array([int(basis.steps) for basis in bases])
right.plot(ratios, steps, "-", color="#0072B2")
right.plot(np.delete(ratios, reached), np.delete(steps, reached), "x", color="#D55E00", markersize=9, label="not met")
right.plot(np.take(ratios, reached), np.take(steps, reached), "o", color="#0072B2", label="met")
right.set(xlabel="threshold in units of the bound", ylabel="steps", yscale="log")
right.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Sparse simplexes
#
# A random support is drawn and the vectors on it are fitted to the simplex's angles. Beside the frame asked for, supports of few
# entries, around the number that counting asks for: $K(K-1)/2$ numbers of the Gram matrix are left to fit once every row sums to zero.
# Counting is for supports in general position: some carry an exact simplex with fewer entries, some miss it with more.

# %%
sparse = ufm.frames.sparse_etf(classes, width, zeros, key)
print(ufm.Status(int(sparse.status)).text)
print(sparse.frame)

# %%
half, rows = classes * (classes - 1) // 2, width // 2
trials = []
for extra in (-6, 12) if QUICK else (-8, -4, 0, 4, 8, 12, 16, 24):
    nonzeros = max(half + rows + extra, 3 * classes)
    share = (width * classes - nonzeros + 0.5) / (width * classes)
    for seed in range(2 if QUICK else 6):
        U = np.asarray(ufm.frames.sparse_etf(classes, width, share, jax.random.key(seed)).frame.vectors)
        goal = (classes * np.eye(classes) - 1) / (classes - 1)
        trials.append((np.sum(U != 0) - np.sum(np.any(U != 0, axis=1)) - half, np.max(np.abs(U.T @ U - goal))))
spare, errors = np.array(trials).T

# %%
_, (left, right) = plt.subplots(1, 2, figsize=(11, 3.4), layout="constrained", width_ratios=(1, 1.6))
U = np.asarray(sparse.frame.vectors)
image = left.imshow(U.T, cmap="RdBu_r", clim=np.array([-1, 1]) * np.max(np.abs(U)), aspect="auto")
left.figure.colorbar(image, ax=left, label="entry")
left.set(xlabel="dimension", ylabel="class", title=f"{float(sparse.frame.sparsity):.0%} zeros (white)")
right.semilogy(spare, np.maximum(errors, 1e-17), "o", color="#0072B2", fillstyle="none")
right.axvline(0, color="black", linestyle="--")
right.set(xlabel="nonzero entries less rows in use less $K(K-1)/2$", ylabel="error of the Gram matrix")
plt.show()

# %% [markdown]
# ## What a classifier asks of a frame
#
# With a fixed classifier $W$ and free features the best feature is $h = W^\top \alpha$, and the minimum depends on $W W^\top$ alone: an exact
# sparse simplex costs nothing. Signs of lines do matter, so that line systems with one coherence differ as classifiers. Among $K > d + 1$ vectors, cross-entropy at a small ridge asks neither for small $|\cos|$ nor for small $\cos$ but
# for a large distance of every row from the convex hull of the others (Jiang et al. 2024, [arXiv 2310.05351](https://arxiv.org/abs/2310.05351)),
# which `one_vs_rest_distance` computes exactly.


# %%
def minimum(frame, length=5.0, ridge=1e-4):
    """The minimum of cross-entropy over the features under a fixed classifier (convex), and the gradient left there."""
    W = length * frame.vectors.T
    problem = ufm.Problem.balanced(W.shape[0], 1, W.shape[1], loss="ce", classifier=W, l2_H=ridge)
    solution = ufm.solve(problem, key)
    return float(solution.value), float(solution.gradient_norm)


unit = {name: ufm.frames.Frame(frame.vectors / frame.norms) for name, frame in frames.items()}
rows = {name: (float(ufm.frames.one_vs_rest_distance(frame).distance), *minimum(frame)) for name, frame in unit.items()}
for name, (distance, value, _) in sorted(rows.items(), key=lambda row: row[1][1]):
    cosine = float(unit[name].signed_coherence)
    print(f"{name:42} largest cos {cosine:7.4f}, distance {distance:.4f}, minimum {value:.8f}")

# %%
goal = ufm.frames.simplex_etf(classes, width).gram
thin = float(jnp.max(jnp.abs(sparse.frame.gram - goal)))
print(f"W W^T of the sparse simplex is off that of the dense one by {thin:.0e}: the same minimum under every loss and ridge.")

# %% [markdown]
# ## Check

# %%
below = min(float(np.min(values - best[at])) for at, values in found.items())
print(f"lowest cosine found less its bound, over {sum(map(len, found.values()))} pairs (K, d): {below:.0e}")
assert below > -1e-9
for dim in dims:  # the simplex, always met
    assert all(np.all(np.abs(found[dim, s] - best[dim, s])[sizes[dim] <= dim + 1] < 1e-6) for s in (False, True))
if exact is not None:
    print(f"{K} lines in {d}: closed form {float(exact.welch_ratio):.12f} of Welch's bound")
    assert abs(exact.welch_ratio - 1) < 1e-12
assert all(basis.coherence >= bound for basis in bases) and bases[-1].status == ufm.Status.REACHED
short, fits = spare < 0, errors < 1e-6
for name, these in {"too few entries": short, "entries enough": ~short, "at least 8 to spare": spare >= 8}.items():
    print(f"sparse supports with {name}: {np.sum(fits[these])} of {np.sum(these)} carry an exact simplex")
assert np.sum(fits[short]) / max(np.sum(short), 1) <= np.sum(fits[~short]) / max(np.sum(~short), 1)
assert max(row[-1] for row in rows.values()) < 1e-9
farthest, lowest = max(rows.values())[1], min(row[1] for row in rows.values())
print(f"the frame whose rows are farthest from the others: minimum of cross-entropy {farthest / lowest - 1:.2%} above the lowest")
if sparse.status == ufm.Status.REACHED:
    assert thin < 1e-6
    print("A sparse simplex is as good a fixed classifier as a dense one.")
print("Verdict: no frame lies below its bound; the bounds are met where the list above says; a threshold some way above is cheap.")
