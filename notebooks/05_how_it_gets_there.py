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
# # How it gets there
#
# **Claim.** Where collapse ends is half of the theory; how it gets there is known as precisely. Under gradient flow the imbalance
# of neighbouring layers only decays by the ridge, classes are learned in order of size along logistic curves (Saxe, McClelland,
# Ganguli 2014, [arXiv 1312.6120](https://arxiv.org/abs/1312.6120)), and NC1, NC2 and the loss have rates of their own. On the
# renormalised central path (Han, Papyan, Donoho 2022, [arXiv 2106.02073](https://arxiv.org/abs/2106.02073)) collapse is
# algebraic. Cross-entropy without ridge ends at the simplex (Ji et al. 2022, [arXiv
# 2110.02796](https://arxiv.org/abs/2110.02796)), so slowly that the logarithm of time has to be counted in thousands. And squared
# error sees of any number of samples no more than a few columns.
#
# Every section flows numerically and holds the run against a closed form of `ufm.catalogue()`, named by its id.

# %%
import os

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

jax.config.update("jax_enable_x64", True)
import ufm
import ufm.plot
from ufm.theory.central_path import FeatureStart
from ufm.theory.dynamics import Start, spectral_point
from ufm.theory.second_order import CriticalPoint

QUICK = "UFM_QUICK" in os.environ  # reduced sizes, as in the tests
theorems = ufm.catalogue()

# %% [markdown]
# **The cell to change.** The ridge must stay below $1/\sqrt{KN}$, where the minimum dies, and $K(n - 1) \ge d \ge K$ keeps all
# that is drawn from being empty.

# %%
K, n, d = 3, 4, 5  # classes, samples a class, dimensions of the features
ridge = 0.06  # of W and of H
sizes, deadly = (60, 25, 12, 3), 4  # class sizes of the long tail, and the size up to which its ridge lets a class die
samples = 1e12  # of the last section
log_steps = 1200 if QUICK else 12_000  # of cross-entropy without ridge: 12,000 reach about log10 t = 3000

# %%
N = K * n
if ridge * np.sqrt(K * N) >= 1 or not K <= d <= K * (n - 1):
    raise ValueError(f"ridge below {1 / np.sqrt(K * N):.3g} and K <= d <= K (n - 1) are needed: change the cell above")

# %% [markdown]
# ## Conserved quantities and rates
#
# From a random start, with equal ridges $\lambda$ and any loss, $W^\top W - H H^\top$ only shrinks: like $e^{-2\lambda t}$,
# exactly, at all times (`imbalance-decay`; conserved for $\lambda = 0$). The rates at which the flow arrives are eigenvalues of
# the Hessian at the minimum (`mse-flow-rates`): that of the gradient, and two of the variability within classes, which the
# classifier sees or not. The gradient follows the slowest mode once the others have died out, which takes long where two rates
# are close.

# %%
problem = ufm.Problem.balanced(K, n, d, l2_W=ridge, l2_H=ridge)
start = ufm.initialize(problem, jax.random.key(0), 0.5)
rates = theorems["mse-flow-rates"].predict(CriticalPoint(problem, start, jnp.asarray(K)))  # of the minimum: W has rank K there
path = ufm.flow(problem, start, np.linspace(0, 18 / float(rates.gradient), 73))
W, H = np.asarray(path.path.weights[0]), np.asarray(path.path.H)
D = H - np.repeat(H.reshape(-1, d, K, n).mean(axis=3), n, axis=2)
span = np.linalg.svd(W[-1])[2][:K]  # of the rows of the classifier at the end
courses = {
    "imbalance": np.linalg.norm(np.swapaxes(W, 1, 2) @ W - H @ np.swapaxes(H, 1, 2), axis=(1, 2)),
    "gradient": np.asarray(path.gradient_norm),
    "within, seen": np.linalg.norm(span @ D, axis=(1, 2)),
    "within, unseen": np.linalg.norm(D - span.T @ (span @ D), axis=(1, 2)) * (d > K),
}
courses = {name: np.where(x > 1e-8, x, np.nan) for name, x in courses.items() if x[0] > 0}  # below, its tolerance shows

# %%
slopes = {"imbalance": 2 * ridge, "gradient": rates.gradient, "within, seen": rates.seen, "within, unseen": rates.unseen}
slopes = {name: float(rate) for name, rate in slopes.items() if rate > 0}
ufm.plot.metrics_in_time(path, metrics=courses, rates=slopes)
plt.show()


# %%
def measured_rate(name):
    """Minus the slope of the logarithm over the last third of the times at which the course is seen."""
    t, x = np.asarray(path.ts)[np.isfinite(courses[name])], courses[name][np.isfinite(courses[name])]
    return -np.polyfit(t[-(t.size // 3) :], np.log(x[-(t.size // 3) :]), 1)[0]


rate_errors = {name: measured_rate(name) / rate - 1 for name, rate in slopes.items()}
for name, rate in slopes.items():
    print(f"{name:15} predicted rate {rate:.5f}, measured {measured_rate(name):.5f}")

# %% [markdown]
# ## One class after the other
#
# From a small balanced start whose modes are the classes, each mode $p_k = \sqrt{n_k}\, z_{kk}$ is a logistic curve
# (`two-factor-logistic`),
#
# $$p_k' = \frac2N\, p_k \left( \sqrt{n_k} - N \lambda - p_k \right),$$
#
# so large classes come first, and a class of $\sqrt{n_k} \le N\lambda$ never comes: minority collapse seen in time.

# %%
tail_ridge = np.sqrt(deadly) / sum(sizes)
tail = ufm.Problem.imbalanced(sizes, max(d, len(sizes)), l2_W=tail_ridge, l2_H=tail_ridge).collapsed()
targets = np.sqrt(sizes) - np.sqrt(deadly)
small = spectral_point(tail, np.full((2, len(sizes)), 0.1), np.random.default_rng(0))
slowest = min((q for q in targets if q > 0), default=1.0)
times = np.linspace(0, 5 * sum(sizes) / slowest, 61)
learning = ufm.flow(tail, small, times, rtol=1e-8)
modes = theorems["two-factor-logistic"].predict(Start(tail, small, jnp.asarray(times))).p
ufm.plot.singular_values(tail, learning, closed_form=modes)
plt.show()
found = np.linalg.svd(np.asarray(learning.path.weights[0] @ learning.path.H), compute_uv=False)
mode_error = np.max(np.abs(found - -np.sort(-np.asarray(modes), axis=1))) / np.max(found)
fates = [f"{size} samples: " + (f"ends at {q:.3g}" if q > 0 else "dies") for size, q in zip(sizes, targets, strict=True)]
print(", ".join(fates))
print(f"largest deviation from the logistic curves: {mode_error:.1e} of the largest mode")

# %% [markdown]
# ## The central path
#
# Now the classifier is at every moment the best one for the features. Without ridges the objective sees only the signal to noise
# $\Sigma_W^{-1/2} M$, and with features renormalised to $\Sigma_W = I$ each of its singular values obeys
# (`renormalised-central-path`)
#
# $$n \left( K^2 \ln \omega + K \omega^2 + \tfrac14 \omega^4 \right) = t + a .$$
#
# So $\omega \sim (4t/n)^{1/4}$ and $\mathrm{NC}_1 \sim (K - 1) \sqrt{n/(4t)}$ (`renormalised-limits`): no exponential anywhere.

# %%
free = ufm.Problem.balanced(K, n, d, bias="free")
renormalised = ufm.central_path.renormalise(free, ufm.initialize(free, jax.random.key(1)).H)
times = np.concatenate([[0.0], np.geomspace(1, 1e8, 33)])
origin = ufm.initialize(free, jax.random.key(1))._replace(H=renormalised)
central = ufm.flow(free, origin, times, kind="renormalised", rtol=1e-8)
law = theorems["renormalised-central-path"].predict(FeatureStart(free, renormalised, jnp.asarray(times)))


def signal(features):
    """(T, K - 1) singular values of the class means, where Sigma_W = I."""
    return np.linalg.svd(np.asarray(features).reshape(-1, d, K, n).mean(axis=3), compute_uv=False)[:, : K - 1]


omega, closed = signal(central.path.H), signal(law.H)
omega_error = np.max(np.abs(omega / closed - 1))
print(f"largest relative deviation of a singular value from its law: {omega_error:.1e}")

# %%
figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
ax.plot(times[1:], omega[1:], "o-", markersize=4, markevery=4)
ax.plot(times[1:], closed[1:], color="black", linestyle=(0, (4, 2)))
ax.plot(times[9:], (4 * times[9:] / n) ** 0.25, color="grey", linestyle=":")
ax.text(times[17], 1.5 * (4 * times[17] / n) ** 0.25, "$(4t/n)^{1/4}$", color="grey", ha="right")
ax.set(xscale="log", yscale="log", xlabel="time $t$ of the renormalised flow", ylabel=r"signal to noise $\omega_j$ (dashed: law)")
plt.show()

# %% [markdown]
# ## Cross-entropy without ridge, to times with thousands of digits
#
# There is no minimum: $f \to 0$ and $\|\theta\| \to \infty$, and beyond $f \approx 10^{-16}$ `softmax - onehot` is rounded to
# nothing. `ufm.log_domain` descends on $\log f$, along the same orbit, and keeps $\log t$ beside it. The smoothed margin
# $-\log(e^{Nf} - 1)/\|\theta\|^2$ never falls (Lyu and Li 2020) and its largest limit $1/(2\sqrt{n}(K - 1))$ is the simplex, here
# with $n = 1$. The sum of the rows of $W$ is conserved: only the *centred* classifier becomes a simplex soon.


# %%
def far_from_simplex(problem, params):
    """How far the classifier's Gram matrix is from a simplex, as it is and centred."""
    W = params.weights[0]
    centred = W - jnp.mean(W, axis=0, keepdims=True)
    return {"W from simplex": ufm.metrics.simplex_distance(W @ W.T), "centred W": ufm.metrics.simplex_distance(centred @ centred.T)}


separable = ufm.Problem.balanced(K, 1, d, loss="ce")
begin = ufm.initialize(separable, jax.random.key(2), 0.3)
run = ufm.log_domain.descend_log(separable, begin, log_steps, every=log_steps // 60, record=far_from_simplex)
margin = np.asarray(run.smoothed_margin) * 2 * (K - 1)
drift = float(np.max(np.abs(np.sum(run.params.weights[0] - begin.weights[0], axis=0))))
print(f"log10 t = {run.log_time[-1] / np.log(10):.0f}, log10 f = {run.log_value[-1] / np.log(10):.0f}")
print(ufm.Status(int(run.status)).text)
print(f"smoothed margin over its bound: {margin[-1]:.6f}; the sum of the rows of W has moved by {drift:.1e}")

# %%
ufm.plot.metrics_in_time(run, metrics={"1 - margin / bound": np.where(margin > 0, 1 - margin, np.nan), **run.metrics})
plt.show()

# %% [markdown]
# The rate is not that of logistic regression, $1/t$: with both layers trained $f \sim (K - 1)\sqrt{n} / (2\, t \log t)$
# (`ce-simplex-rate`; the $1/t$ that is often quoted is in the catalogue too, as refuted: `ce-simplex-rate-one-over-t`). Large
# steps miscount $\log t$ by a constant; it vanishes with the size of the steps.

# %%
law_errors = {}
for step in (0.5, 0.1):
    walk = ufm.log_domain.descend_log(separable, begin, log_steps, step=step, every=log_steps // 60, record=far_from_simplex)
    log_t, log_f = float(walk.log_time[-1]), float(walk.log_value[-1])
    law_errors[step] = log_f - (np.log((K - 1) / 2) - log_t - np.log(log_t))
    off = f"log f is {law_errors[step]:+.3f} off the law, {law_errors[step] - np.log(log_t):+.3f} off 1/t"
    print(f"steps of {step}, log10 t = {log_t / np.log(10):.0f}: {off}")

# %% [markdown]
# ## As many samples as you like
#
# Squared error does not see rotations among samples: $N$ of them flow exactly as $K$ scaled class means and $d$ residual columns
# (`sample-reduction`), and Gaussian samples are drawn in these columns at once (`bartlett-start`). With the number of samples the
# run tends to a limit, in which the residuals are a multiple of the identity, like $\sqrt{d/N}$ (`isotropic-limit`). Here: the
# central path with ridges, NC1 along it, from $10^2$ samples on.

# %%
means = jnp.asarray(np.random.default_rng(3).normal(size=(d, K)))


def nc1_path(count, limit=False):
    """NC1 along the central path of `count` Gaussian samples, or of their isotropic limit, at times of up to 40 N."""
    merged = ufm.Problem.from_targets(np.eye(K), d, multiplicity=np.full(K, count / K), l2_W=ridge, l2_H=ridge / count)
    pooled = ufm.equivalent.pooled_problem(merged, d)
    if limit:
        X = jnp.concatenate([means * np.sqrt(count / K), np.sqrt(count - K) * jnp.eye(d)], axis=1)
    else:
        X = draw(jax.random.key(4), merged, means)
    course = ufm.flow(pooled, ufm.Params((jnp.zeros((K, d)),), X, None), count * clock, kind="central-path", rtol=1e-8)
    M, R = np.asarray(course.path.H[:, :, :K]) / np.sqrt(count / K), np.asarray(course.path.H[:, :, K:])
    return np.sum(R**2, axis=(1, 2)) / count / np.mean(np.sum((M - M.mean(axis=2, keepdims=True)) ** 2, axis=1), axis=1)


draw = jax.jit(lambda key, merged, means: ufm.equivalent.draw_pooled(merged, key, means, 1.0, residuals=d)[1])
clock = np.linspace(0, 40, 21)
limit = nc1_path(K * round(samples / K), limit=True)
deviations = {}
for count in (1e2, 1e6, samples):
    count = K * round(count / K)
    deviations[count] = np.max(np.abs(nc1_path(count) - limit)) / np.max(limit)
    ratio = deviations[count] / np.sqrt(d / count)
    print(f"N = {count:.1e} as {K + d} columns: NC1 off its limit by {deviations[count]:.1e} of its start = {ratio:.2f} sqrt(d/N)")
print(f"NC1 falls from {limit[0]:.3g} to {limit[-1]:.3g} on the way")

# %% [markdown]
# ## Check

# %%
decay = courses["imbalance"][0] * np.exp(-2 * ridge * np.asarray(path.ts))
law_of_imbalance = np.max(np.abs(courses["imbalance"] / decay - 1)[decay > 1e-5])
separated = np.asarray(run.log_value) + np.log(K) < np.log(np.log(2))  # from here on the smoothed margin must grow
print(f"imbalance off exp(-2 ridge t) by {law_of_imbalance:.1e} (relative, while above 1e-5)")
assert law_of_imbalance < 1e-3 and all(abs(x) < (0.3 if name == "gradient" else 0.05) for name, x in rate_errors.items())
assert mode_error < 1e-5 and omega_error < 1e-5
assert separated[-1] and np.all(np.diff(margin[separated]) > -1e-9) and drift < 1e-8
assert abs(law_errors[0.1]) < min(0.2, abs(law_errors[0.5]))
assert all(x < 30 * np.sqrt(d / count) for count, x in deviations.items())
worst = max(map(abs, rate_errors.values()))
print(f"Every course is the predicted one: rates to {worst:.0e}, modes to {mode_error:.0e}, signal to noise to {omega_error:.0e}.")
print(f"Cross-entropy is {1 - margin[-1]:.0e} short of its largest margin at t = 10^{run.log_time[-1] / np.log(10):.0f}.")
