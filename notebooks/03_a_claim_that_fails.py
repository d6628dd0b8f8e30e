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
# # A published claim that fails
#
# **Claim**, as the abstract of Dang et al. 2023 ([arXiv 2301.00437](https://arxiv.org/abs/2301.00437)) reads without conditions:
# the global minimisers of balanced cross-entropy on $M \ge 2$ linear layers with free features are simplex ETFs, or zero, whatever
# the number of classes. **It fails**: for $K \ge 4$, $M \ge 3$ and for $K \ge 6$, $M = 2$ at every ridge (Garrod and Keating 2025,
# [arXiv 2410.23169](https://arxiv.org/abs/2410.23169)), and for $K = 3$ and $K = 4, 5$, $M = 2$ at large ones (found by search,
# below). ufm has it as `ce-deep-etf-global`, refuted. What holds: the simplex is a critical point (`ce-deep-etf-critical`), and the
# minimum for $K = 2$ and for $M = 1$.
#
# The reason is the price of rank: $L = M + 1$ factors of a logit matrix $Z$ cost at least
# $\frac L2\, c \sum_j \sigma_j(Z)^{2/L}$, a power below 1, and few directions are cheaper than $K - 1$.

# %%
import os
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

jax.config.update("jax_enable_x64", True)
import ufm
import ufm.plot

QUICK = "UFM_QUICK" in os.environ  # reduced sizes, as in the tests

# %%
K, M = 4, 2  # classes (at least 3), layers (at least 2)
l2 = 0.05  # the ridge of every factor; n samples a class are the same as one sample at the ridge l2 n^(1/(M+1))

# %% [markdown]
# ## Numbers that anyone can check
#
# This cell needs NumPy and nothing else. All $M + 1$ factors are the same symmetric matrix $a^{1/(M+1)} P$ with a projector $P$, so
# that the logits are $a P$; each candidate has its best size $a$, from a grid.


# %%
def f(a, P):
    """Mean cross-entropy of K classes of one sample each at logits W_M ... W_1 H, and the ridges of all factors."""
    factors = (M + 1) * [a ** (1 / (M + 1)) * P]
    Z = np.linalg.multi_dot(factors)
    data = np.mean(np.log(np.sum(np.exp(Z), axis=0)) - np.diag(Z))
    return data + l2 / 2 * sum(np.sum(A**2) for A in factors)


pairs = np.zeros((K, K))  # classes 1 and 2 opposite to each other, 3 and 4, ...; the last of an odd number at zero
pairs[: K // 2 * 2, : K // 2 * 2] = np.kron(np.eye(K // 2), [[0.5, -0.5], [-0.5, 0.5]])
angles = 2 * np.pi * np.arange(K) / K
candidates = {
    "zero": np.zeros((K, K)),
    "simplex ETF": np.eye(K) - 1 / K,
    "antipodal pairs": pairs,
    "one pair, the rest at zero": np.pad([[0.5, -0.5], [-0.5, 0.5]], (0, K - 2)),
    "polygon": 2 / K * np.cos(angles[:, None] - angles),
}
by_hand = {name: min((f(a, P), a) for a in np.linspace(0, 40, 4001)) for name, P in candidates.items()}
for name, (value, a) in by_hand.items():
    print(f"{name:27} rank {np.linalg.matrix_rank(candidates[name])}  a = {a:5.2f}  f = {value:.8f}")

# %%
best, etf = min(by_hand, key=by_hand.get), min(by_hand["zero"][0], by_hand["simplex ETF"][0])
fails = by_hand[best][0] < etf - 1e-6
print(f"K = {K}, M = {M}, l2 = {l2}: {best} is the lowest of these, {1 - by_hand[best][0] / etf:.2%} below the claim's minimum.")
print("The claim fails here." if fails else "Nothing here contradicts the claim: see the map below for where it fails.")

# %% [markdown]
# ## What a search finds
#
# Eight random starts over all entries of all factors, no geometry assumed, against the exact branch of simplices and the best code
# known (`ce-deep-best-known`: numerical, for nobody has proved which code is the minimum).

# %%
from ufm.theory.cross_entropy import etf_prediction, stable_up_to, tie

problem = ufm.Problem.balanced(K, 1, (K,) * M, loss="ce", l2_W=l2, l2_H=l2)
simplex = jax.jit(etf_prediction)(problem)
solution = ufm.solve(problem, jax.random.key(0))
means = solution.params.H
shape = ufm.identify(means.T @ means).means.name if solution.rank else "zero"
print(f"simplex branch, or zero: {simplex.value:.9f}")
print(f"found by the search:     {solution.value:.9f}, rank {solution.rank}, geometry of the features: {shape}")

# %%
for name, point in {"the claim's minimum": simplex, "found by the search": solution}.items():
    ufm.plot.geometry(problem, point).set_title(name)

# %% [markdown]
# Is the simplex at least a local minimum? Up to an exact ridge: for $K \ge 4$ it is a strict saddle, with $K(K-3)/2$ negative
# eigenvalues of the Hessian, as soon as its margin is below $K (M-1)/(M+1)$, and with $K - 1$ more close to the end of its branch
# (`ce-deep-etf-stability`).


# %%
@jax.jit
def curvatures(problem, params):
    """Eigenvalues of the Hessian over all entries."""
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    return jnp.linalg.eigvalsh(jax.hessian(lambda x: ufm.objective(problem, unravel(x)))(flat))


c_tie, c_stab = tie(K, M), stable_up_to(K, M) if K >= 4 else np.inf
negative = int(np.sum(curvatures(problem, simplex.params) < -1e-9))
expected = K * (K - 3) // 2 if simplex.rank and l2 > c_stab else 0
print(f"l2 / c_tie = {l2 / c_tie:.4f}, c_stab / c_tie = {c_stab / c_tie:.4f}: zero beats the simplex above 1")
print(f"negative eigenvalues at {'the simplex' if simplex.rank else 'zero'}: {negative}, predicted {expected}")

# %% [markdown]
# ## A map of where which geometry wins
#
# For every number of classes and every ridge, in units of the ridge at which simplex and zero tie, the lowest of a family of
# symmetric codes, each at its best amplitudes. Black bars: the ridge above which the simplex is not even a local minimum. (For
# $K = 7$ some minima are codes that nobody has identified; there the map shows the lowest one that has a name.)

# %%
from ufm.plot import COLOURS, series
from ufm.theory.cross_entropy import minimise_codes, named_codes

ratios = np.logspace(-4, 0.2, 22 if QUICK else 43)
rows = (3, 4, 6) if QUICK else (3, 4, 5, 6, 7, 8)


@partial(jax.jit, static_argnums=0)
def codes_at(K, strengths, depth):
    """(strengths, codes) minimum of every code over its amplitudes."""
    return jax.lax.map(lambda s: minimise_codes(named_codes(K)[1], s, depth).values, strengths)


def compared(K, depth):
    """Along the ridges: the lowest value of all codes, that of the claim, and which code is lowest (-1: zero)."""
    names, zero = named_codes(K)[0], np.log(K)
    found = np.asarray(codes_at(K, jnp.asarray(ratios * tie(K, depth)), depth))
    low = found.min(axis=1)
    first = np.argmax(found <= low[:, None] * (1 + 1e-9), axis=1)  # several names may be one point
    claim = np.minimum(found[:, names.index(f"simplices {K}")], zero)
    return np.minimum(low, zero), claim, np.where(low < zero * (1 - 1e-9), first, -1)


maps = {depth: {k: compared(k, depth) for k in rows} for depth in (2, 3)}

# %%
KINDS = ("zero", "simplex", "antipodal pairs", "polygon", "some classes at zero", "pyramids and other sums")


def kind(code, K):
    """The kind of a code, an index of KINDS."""
    name = "zero" if code < 0 else named_codes(K)[0][code]
    if "at zero" in name or "on a line" in name:
        return 4
    known = ["zero", f"simplices {K}", "simplices " + "+".join("2" * (K // 2)), f"polygon {K}"]
    return known.index(name) if name in known else 5


colours = ("lightgrey", *COLOURS[:3], COLOURS[5], COLOURS[4])  # Okabe and Ito: told apart by the colour-blind
figure, panels = plt.subplots(1, 2, figsize=(12, 3.8), sharey=True, layout="constrained")
for ax, (depth, found) in zip(panels, maps.items(), strict=True):
    for k in rows:
        kinds = np.array([kind(code, k) for code in found[k][2]])
        for i in np.unique(kinds):
            ax.scatter(ratios[kinds == i], np.full(np.sum(kinds == i), k), s=150, marker="s", color=colours[i])
        if k >= 4:
            ax.plot(2 * [stable_up_to(k, depth) / tie(k, depth)], [k - 0.35, k + 0.35], "k", lw=3)
    ax.set(xscale="log", xlabel=r"$c\,n^{1/(M+1)}$ in units of the simplex's tie with zero", title=f"M = {depth}", yticks=rows)
panels[0].set_ylabel("classes $K$")
handles = [plt.Line2D([], [], ls="", marker="s", ms=10, color=c, label=name) for c, name in zip(colours, KINDS, strict=True)]
figure.legend(handles=handles, loc="outside right upper", frameon=False)
plt.show()

# %% [markdown]
# By how much the claim's minimum is too high, and whether a search over all entries agrees with the codes (black dots).

# %%
best_code, claimed, _ = compared(K, M)
chosen = np.linspace(0, ratios.size - 1, 5 if QUICK else 15).round().astype(int)
l2_W = ((ratios[chosen] * c_tie) ** (M + 1) / l2) ** (1 / M)  # l2_H stays, c is the geometric mean
grid = ufm.sweep("minimum", problem, {"l2_W": l2_W}, seeds=4 if QUICK else 8)
searched = grid.value.min("seed").values

# %%
plt.figure(figsize=(8, 4), layout="constrained")
for i, (k, (low, claim, _)) in enumerate(maps[min(M, 3)].items()):
    plt.plot(ratios, 100 * (1 - low / claim), label=f"K = {k}, M = {min(M, 3)}", markevery=(i % 5, 5), **series(i))
plt.plot(ratios, 100 * (1 - best_code / claimed), "k--", label=f"K = {K}, M = {M}, best code")
plt.plot(ratios[chosen], 100 * (1 - searched / claimed[chosen]), "ko", ms=5, label=f"K = {K}, M = {M}, searched")
plt.gca().set(xscale="log", xlabel="ridge in units of the simplex's tie with zero", ylabel="below the claim's minimum by (%)")
plt.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
plt.show()

# %% [markdown]
# ## The claim, checked

# %%
assert not simplex.rank or np.isclose(by_hand["simplex ETF"][0], simplex.value, atol=1e-4)  # sizes are 0.01 apart
assert solution.value <= min(value for value, _ in by_hand.values()) + 1e-9
assert negative == expected or K == 3
excess = searched / best_code[chosen] - 1
print(f"search over best code: from {excess.min():+.1e} to {excess.max():+.1e}; above 0 the search has missed it")
assert np.median(np.abs(excess)) < 1e-6 or K >= 7  # beyond, no code with a name may be the minimum
for depth, found in maps.items():
    beaten = [k for k, (low, claim, _) in found.items() if np.any(low < claim * (1 - 1e-6))]
    always = [k for k, (low, claim, _) in found.items() if np.all((low < claim * (1 - 1e-6)) | (low == np.log(k)))]
    print(f"M = {depth}: the claim fails at some ridge for K = {beaten}, wherever classes live at all for K = {always}")
    assert beaten == list(rows)
failing = ratios[best_code < claimed * (1 - 1e-6)]
print(f"K = {K}, M = {M}: it fails from {failing.min():.2g} to {failing.max():.2g} c_tie, on this grid of ridges")
verdict = "lower" if solution.value < simplex.value * (1 - 1e-9) else "no lower"
print(f"At K = {K}, M = {M}, l2 = {l2} the search ({solution.value:.9f}) is {verdict} than the claim ({simplex.value:.9f}).")
print("Verdict: refuted, by the numbers of the map; whether it fails at one setting depends on K, M and the ridge.")
