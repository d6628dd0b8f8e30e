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
# # Language: more tokens than dimensions
#
# **Claim** (Wu and Papyan 2024, *Linguistic Collapse*, [arXiv 2405.17767](https://arxiv.org/abs/2405.17767)). Language models have more
# tokens than dimensions, frequencies that fall like a power, and contexts with many possible next tokens. No simplex fits; yet as they are
# scaled up the directions of the class means spread ever more evenly (GNC2), and the classifier aligns with them ever more
# uniformly (UNC3).
#
# Which part of that is a property of the *minimum*? An unconstrained feature model with real word frequencies answers it, width
# by width. Directions do spread more evenly with width. Alignment becomes exactly uniform for equal tokens alone; word frequencies and
# soft labels leave a floor that no width removes. A dual bound (`ntp-certificate`) says from which width on nothing is gained at all.

# %%
import os

import jax
import matplotlib.pyplot as plt
import numpy as np

jax.config.update("jax_enable_x64", True)
import ufm
from ufm.features import language, word_frequencies
from ufm.settings.language import next_token_problem, random_contexts, zipf_priors

QUICK = "UFM_QUICK" in os.environ  # reduced sizes, as in the tests

# %% [markdown]
# **The cell to change.** One ridge $\lambda_W = \lambda_H$ for words as classes and one for contexts, whose ridge must be small against
# their probability $1/m$.

# %%
words_of = "en"  # a language of wordfreq: "en", "de", "fr", "ja", ...
V = 24 if QUICK else 48  # the most frequent words
widths = (4, 12) if QUICK else (3, 6, 12, 24, 36)  # dimensions d of the features, all below V; V itself is added
m = 6 * V  # contexts with soft labels
ridge_words, ridge_contexts = 3e-3, 0.1 / m

# %% [markdown]
# ## Frequencies of words

# %%
source, frequencies = word_frequencies(words_of, V)
ranks = np.arange(1, V + 1)
plt.figure(figsize=(5, 3.2), layout="constrained")
plt.loglog(ranks, frequencies, "o", ms=4, label=source.split(",")[0])
plt.loglog(ranks, zipf_priors(V), "k--", label="Zipf's law of exponent 1")
plt.xlabel("rank of the word")
plt.ylabel("frequency")
plt.legend()
plt.show()

# %% [markdown]
# ## Three worlds, width by width
#
# Equal tokens; words, each a class with its frequency; and $m$ contexts, each with a probability $1/m$ and soft labels $p_j$ on a support of
# one to three words drawn by frequency (Zhao et al. 2024, [arXiv 2408.15417](https://arxiv.org/abs/2408.15417)):
#
# $$\sum_j \pi_j \, \mathrm{CE}(p_j, \mathrm{softmax}(W h_j)) + \frac{\lambda_W}2 \|W\|^2 + \frac{\lambda_H}2 \|H\|^2 .$$
#
# `language` is what `ufm language` runs: for each width a search from a random start, and the dual bound from the minimum at
# width $V$, which holds for every width. Where a search ends above the bound, the minimum of that width is somewhere between the two.

# %%
worlds = {
    "equal tokens": language((V,), widths, exponent=0.0, ridge=ridge_words).rows,
    "words": language((V,), widths, language=words_of, ridge=ridge_words).rows,
    "contexts": language((V,), widths, language=words_of, contexts=m, ridge=ridge_contexts).rows,
}
for name, rows in worlds.items():
    print(f"\n{name}\n   d  rank         f  above bound      NC1     GNC2  UNC3: mean  std/mean")
    for r in rows:
        head = f"{r.dimension:4} {r.rank:5} {r.value:9.5f} {r.gap:12.1e}"
        print(head, f"{r.nc1:8.1e} {r.gnc2:8.4f} {r.unc3:11.4f} {r.unc3_cov:9.1e}")

# %% [markdown]
# GNC2 is the mean of $\log(1 / \|u_k - u_l\|)$ over pairs of directions of centred class means (the lower, the more even), UNC3 is the
# spread over classes of the cosine between classifier row and class mean. The dashed line is the simplex, which needs
# $d \ge V - 1$. Two tokens that only ever follow the same contexts share their mean, and GNC2 is infinite: take more contexts then.

# %%
simplex = -0.5 * np.log(2 * V / (V - 1))
figures = {
    "gap": "$(f - $ dual bound$) / f$", "gnc2": "GNC2, mean", "unc3_cov": "UNC3, std / mean", "nc1": "NC1",
}  # fmt: skip
_, panels = plt.subplots(2, 2, figsize=(8, 5), layout="constrained", sharex=True)
for ax, (figure, label) in zip(panels.ravel(), figures.items(), strict=True):
    for (name, rows), mark in zip(worlds.items(), "osv", strict=True):
        values = np.array([getattr(r, figure) for r in rows])
        shown = np.where(np.isfinite(values), values if figure == "gnc2" else np.maximum(values, 1e-16), np.nan)
        ax.plot([r.dimension for r in rows], shown, mark + "-", label=name)
    ax.set(ylabel=label, yscale="linear" if figure == "gnc2" else "log")
for ax in panels[1]:
    ax.set(xlabel="width $d$")
panels[0, 1].axhline(simplex, color="k", ls="--", label="simplex")
panels[0, 1].legend(fontsize="small")
plt.show()

# %% [markdown]
# ## Lengths follow frequencies
#
# The simplex has equal lengths, words have not: frequent words have long classifier rows and short features. Equal
# margins would give $\|w_k\| \sim f_k^{1/4}$ and $\|h_k\| \sim f_k^{-1/4}$.

# %%
for r in worlds["words"]:
    print(f"d = {r.dimension:3}: |w| ~ f^{r.slope_W:+.3f}, |h| ~ f^{r.slope_H:+.3f} (least squares)")

# %% [markdown]
# ## Soft labels: a certificate, and how much is learned
#
# At width $V$ the minimum is certified. Its logits have a rank; a model of just that width reaches the same bound from a start of
# its own, and so no wider one does better.

# %%
tokens = random_contexts(jax.random.key(0), frequencies, m)
problem = next_token_problem(tokens, V, l2_W=ridge_contexts, l2_H=ridge_contexts)
wide = ufm.solve(problem, jax.random.key(0), columns="raw", tolerance=1e-8)
certificate = ufm.certify(problem, wide.params)
rank = max(int(wide.rank), 1)
narrow = ufm.solve(problem.replace(widths=(rank,)), jax.random.key(1), columns="raw", starts=1, tolerance=1e-8)
print(f"width {V}: f = {wide.value:.9f}, no point of any width is below {certificate.lower_bound:.9f}; rank {rank}")
print(f"width {rank}: f = {narrow.value:.9f} from another start, {narrow.value / certificate.lower_bound - 1:.1e} above the bound")

# %% [markdown]
# At the minimum every probability is within $\tau / \pi_j$ of its label, $\tau = \sqrt{\lambda_W \lambda_H}$ (`ntp-in-support`). Collapse is by
# *label*: contexts with the same $p_j$ have the same features, whereas the contexts of one token differ, which is why NC1 above
# does not vanish.

# %%
q = np.asarray(jax.nn.softmax(ufm.logits(problem, wide.params), axis=0))
reach = ridge_contexts / tokens.priors
moved = np.max(np.abs(q - tokens.labels) / reach)
kinds, kind = np.unique(tokens.labels, axis=1, return_inverse=True)
nc1_label = float(ufm.metrics.nc1_trace_ratio(wide.params.H, np.ravel(kind), kinds.shape[1], samples_axis=1))
print(f"largest |q - p| is {moved:.4f} of tau / pi_j")
print(f"{m} contexts have {kinds.shape[1]} different labels")
print(f"NC1 by label {nc1_label:.1e}, by token {worlds['contexts'][-1].nc1:.3f}")
on = tokens.supports
plt.figure(figsize=(5, 3.6), layout="constrained")
plt.plot(tokens.labels[on], q[on], ".", ms=4, label="tokens on the supports")
line = np.linspace(0, 1, 50)
plt.plot(line, line, "k--", lw=1, label="label")
plt.fill_between(line, line - reach.max(), line + reach.max(), color="grey", alpha=0.2, lw=0, label=r"label $\pm \tau / \pi_j$")
plt.xlabel("label $p_{zj}$")
plt.ylabel("probability $q_{zj}$ at the minimum")
plt.legend(fontsize="small")
plt.show()

# %% [markdown]
# ## The claim, checked

# %%
for name, rows in worlds.items():
    gnc2 = np.array([r.gnc2 for r in rows if np.isfinite(r.gnc2)])
    assert all(r.gap > -1e-9 for r in rows) and rows[-1].gap < 1e-4
    assert gnc2.size < 2 or np.all(np.diff(gnc2) < 2e-3)
    first, last = rows[0], rows[-1]
    print(f"{name:13} from d = {first.dimension} to {last.dimension}: GNC2 {first.gnc2:.4f} to {last.gnc2:.4f}", end="")
    print(f" (simplex {simplex:.4f}), UNC3 {first.unc3_cov:.1e} to {last.unc3_cov:.1e}")
equal, soft = worlds["equal tokens"][-1], worlds["contexts"][-1]
assert abs(equal.gnc2 - simplex) < 1e-4 and equal.unc3_cov < 1e-4
assert min(soft.unc3_cov, worlds["words"][-1].unc3_cov) > 100 * equal.unc3_cov and nc1_label < 1e-3 * soft.nc1
assert abs(narrow.value / certificate.lower_bound - 1) < 1e-4 and moved < 1 + 1e-3
best = min(worlds["contexts"], key=lambda r: r.unc3_cov)
print("Verdict: the spread grows even with width, as in language models. With soft labels alignment is the most uniform")
print(f"at d = {best.dimension} ({best.unc3_cov:.1e}); in the widest model, past which nothing changes, it is {soft.unc3_cov:.1e}.")
print(f"No width above {rank} lowers the minimum for contexts, certified to {narrow.value / certificate.lower_bound - 1:.0e} of f.")
