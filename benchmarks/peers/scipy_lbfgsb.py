"""SciPy's L-BFGS-B with a gradient written by hand in NumPy, the options as they come but for the tolerances, which are off."""

import numpy as np

from benchmarks.peers.race import Race, Run
from benchmarks.setting import Setting


def lbfgsb(setting: Setting, seed: int, target: float, limit: float) -> Run:
    """One configuration from the setting's start of that seed."""
    from scipy.optimize import minimize

    start = setting.start(seed)
    first = np.concatenate([x.ravel() for x in (start["H"], *start["weights"], start["b"]) if x is not None])

    def loop(race: Race) -> None:
        def function(x: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = value_and_gradient(setting, x)
            race.see(value)
            return value, gradient

        def count(_: np.ndarray) -> None:
            race.steps += 1

        endless = {"maxiter": 10**9, "maxfun": 10**9, "ftol": 0, "gtol": 0}
        minimize(function, first, jac=True, method="L-BFGS-B", callback=count, options=endless)

    return Race(target, limit).run(loop)


def value_and_gradient(setting: Setting, x: np.ndarray) -> tuple[float, np.ndarray]:
    """The objective and its gradient at flat (H, W_1, ..., W_M, b), layer by layer as backpropagation does it."""
    K, N, d = len(setting.counts), setting.samples, setting.width
    shapes = [(N, d), *((d, d),) * (setting.depth - 1), (K, d)]
    ends = np.cumsum([rows * columns for rows, columns in shapes])
    H, *weights = (part.reshape(shape) for part, shape in zip(np.split(x, ends)[:-1], shapes, strict=True))
    b = x[ends[-1] :]
    outputs = [H]
    for W in weights:
        outputs.append(outputs[-1] @ W.T)
    z = outputs[-1] + b if setting.l2_b else outputs[-1]
    if setting.loss == "mse":
        back = z.copy()
        back[np.arange(N), setting.labels] -= 1
        value = np.vdot(back, back) / (2 * N)
    else:
        z = z - z.max(axis=1, keepdims=True)
        back = np.exp(z)
        total = back.sum(axis=1, keepdims=True)
        value = np.mean(np.log(total[:, 0]) - z[np.arange(N), setting.labels])
        back /= total
        back[np.arange(N), setting.labels] -= 1
    back /= N
    gradients = []
    if setting.l2_b:
        value += setting.l2_b / 2 * np.vdot(b, b)
        gradients.append(back.sum(axis=0) + setting.l2_b * b)
    for W, inputs in zip(reversed(weights), reversed(outputs[:-1]), strict=True):
        value += setting.l2_W / 2 * np.vdot(W, W)
        gradients.append((back.T @ inputs + setting.l2_W * W).ravel())
        back = back @ W
    value += setting.l2_H / 2 * np.vdot(H, H)
    gradients.append((back + setting.l2_H * H).ravel())
    return float(value), np.concatenate(gradients[::-1])
