"""PyTorch batched by hand: a grid of ridges in one tensor, `torch.bmm` in the place of layers, one optimiser for all.

Losses are summed over configurations, whose gradients stay apart: first-order methods run as they do one by one. L-BFGS would
share one line search, and is no choice here. The run goes on until the last configuration arrives.
"""

from typing import Any

import numpy as np

from benchmarks.peers.race import Race, Run
from benchmarks.peers.torch_loops import ADAM_RATE, LEARNING_RATE, MOMENTUM, torch_device
from benchmarks.setting import Setting


def adam_grid(setting: Setting, seed: int, targets: np.ndarray, limit: float) -> Run:
    """Adam on all configurations of `setting.ridges` at once, until every one has reached its target."""
    import torch

    parameters, objective = build_grid(setting, seed, len(targets))
    optimizer = torch.optim.Adam(parameters, lr=ADAM_RATE)

    def loop(race: Race) -> None:
        while True:
            optimizer.zero_grad()
            losses = objective()
            race.see(losses.detach().cpu().numpy())
            losses.sum().backward()
            optimizer.step()
            race.steps += 1

    return Race(targets, limit).run(loop)


def sgd_grid_steps(setting: Setting, seed: int, steps: int, limit: float, configurations: int) -> Run:
    """A stretch of the published heavy ball on all configurations at once, as far as the limit allows."""
    import torch

    parameters, objective = build_grid(setting, seed, configurations)
    optimizer = torch.optim.SGD(parameters, lr=LEARNING_RATE, momentum=MOMENTUM)
    race = Race(np.full(configurations, -1.0), limit)

    def loop(race: Race) -> None:
        while race.steps < steps:
            optimizer.zero_grad()
            losses = objective()
            losses.sum().backward()
            optimizer.step()
            race.steps += 1
            race.see(losses.detach().cpu().numpy())

    run = race.run(loop)
    with torch.no_grad():
        return run._replace(value=objective().cpu().numpy())


def build_grid(setting: Setting, seed: int, configurations: int) -> tuple[list[Any], Any]:
    """Parameters with a leading axis of configurations, all from one start, and the function that gives their objectives."""
    import torch
    from torch.nn import functional

    device, start = torch_device(), setting.start(seed)

    def stacked(x: np.ndarray) -> Any:
        return torch.from_numpy(x).to(device).repeat(configurations, *(1,) * x.ndim).requires_grad_()

    H, weights = stacked(start["H"]), [stacked(W) for W in start["weights"]]
    b = None if start["b"] is None else stacked(start["b"])
    labels = torch.from_numpy(setting.labels).to(device)
    Y = functional.one_hot(labels).double().expand(configurations, -1, -1)
    l2_W, l2_H = (torch.from_numpy(x).to(device) for x in setting.ridges(configurations))

    def objective() -> Any:
        z = H
        for W in weights:
            z = torch.bmm(z, W.transpose(1, 2))
        if b is not None:
            z = z + b[:, None, :]
        if setting.loss == "mse":
            data = ((z - Y) ** 2).sum((1, 2)) / (2 * setting.samples)
        else:
            data = functional.cross_entropy(z.transpose(1, 2), labels.expand(configurations, -1), reduction="none").mean(1)
        total = data + l2_W / 2 * sum((W**2).sum((1, 2)) for W in weights) + l2_H / 2 * (H**2).sum((1, 2))
        return total if b is None else total + setting.l2_b / 2 * (b**2).sum(1)

    parameters = [H, *weights] + ([] if b is None else [b])
    objective().sum().backward()  # what the first pass sets up is not timed
    return parameters, objective
