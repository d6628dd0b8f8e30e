"""PyTorch as its users write it: a module whose features are a Parameter, autograd, one configuration, a Python loop."""

from typing import Any

import jax

from benchmarks.peers.race import Race, Run
from benchmarks.setting import Setting

LEARNING_RATE, MOMENTUM, ADAM_RATE = 0.1, 0.9, 1e-2  # SGD's are the published ones
_CHECK_EVERY = 20  # steps: looking at the value costs a hundredth of a small one


def torch_device() -> str:
    """Where PyTorch runs: on the GPU where JAX runs there, else on the CPU."""
    import torch

    return "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu"


def build_model(setting: Setting, seed: int) -> Any:
    """The nn.Module whose forward pass is the objective, at the setting's start of that seed."""
    import torch
    from torch import nn

    class UnconstrainedFeatures(nn.Module):
        def __init__(self):
            super().__init__()
            start = setting.start(seed)
            self.H = nn.Parameter(torch.from_numpy(start["H"]))
            self.layers = nn.Sequential(*(nn.Linear(W.shape[1], W.shape[0], bias=False) for W in start["weights"]))
            for layer, W in zip(self.layers, start["weights"], strict=True):
                layer.weight = nn.Parameter(torch.from_numpy(W))
            if start["b"] is not None:
                self.layers[-1].bias = nn.Parameter(torch.from_numpy(start["b"]))
            self.register_buffer("labels", torch.from_numpy(setting.labels))
            self.register_buffer("Y", nn.functional.one_hot(self.labels).double())

        def data(self):
            z = self.layers(self.H)
            if setting.loss == "mse":
                return ((z - self.Y) ** 2).sum() / (2 * setting.samples)
            return nn.functional.cross_entropy(z, self.labels)

        def forward(self):
            weights = sum((layer.weight**2).sum() for layer in self.layers)
            penalty = setting.l2_W / 2 * weights + setting.l2_H / 2 * (self.H**2).sum()
            if setting.l2_b:
                penalty = penalty + setting.l2_b / 2 * (self.layers[-1].bias ** 2).sum()
            return self.data() + penalty

    model = UnconstrainedFeatures().to(torch_device())
    model().backward()  # what the first pass sets up is not timed
    return model


def sgd(setting: Setting, seed: int, target: float, limit: float) -> Run:
    """Heavy ball with the published rates."""
    import torch

    model = build_model(setting, seed)
    return _first_order(model, torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM), target, limit)


def adam(setting: Setting, seed: int, target: float, limit: float) -> Run:
    """Adam at the rate that reaches the minimum of the published setting soonest among powers of ten."""
    import torch

    model = build_model(setting, seed)
    return _first_order(model, torch.optim.Adam(model.parameters(), lr=ADAM_RATE), target, limit)


def lbfgs(setting: Setting, seed: int, target: float, limit: float) -> Run:
    """L-BFGS with the strong Wolfe line search and the default history; tolerances off, which would stop it above 1e-9."""
    import torch

    model = build_model(setting, seed)
    optimizer = torch.optim.LBFGS(model.parameters(), tolerance_grad=0, tolerance_change=0, line_search_fn="strong_wolfe")

    def loop(race: Race) -> None:
        def closure():
            optimizer.zero_grad()
            loss = model()
            loss.backward()
            race.see(loss.item())
            return loss

        while True:
            optimizer.step(closure)
            race.steps += 1

    return Race(target, limit).run(loop)


def sgd_steps(setting: Setting, seed: int, steps: int, limit: float, *, fused: bool = False) -> Run:
    """A stretch of the published trajectory: as many of the steps as the limit allows, and the value after the last.

    fused: the fastest form that PyTorch has of it, with the ridges as weight_decay and one fused kernel a step.
    """
    import torch

    model = build_model(setting, seed)
    if fused:
        groups = [
            {"params": [model.H], "weight_decay": setting.l2_H},
            {"params": list(model.layers.parameters()), "weight_decay": setting.l2_W},
        ]
        optimizer = torch.optim.SGD(groups, lr=LEARNING_RATE, momentum=MOMENTUM, fused=True)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    objective = model.data if fused else model
    race = Race(-1.0, limit)  # no value is that low: only steps and the limit end it

    def loop(race: Race) -> None:
        while race.steps < steps:
            optimizer.zero_grad()
            loss = objective()
            loss.backward()
            optimizer.step()
            race.steps += 1
            if race.steps % _CHECK_EVERY == 0:
                race.see(loss.item())

    run = race.run(loop)
    with torch.no_grad():
        return run._replace(value=model().item())


def _first_order(model: Any, optimizer: Any, target: float, limit: float) -> Run:
    def loop(race: Race) -> None:
        while True:
            optimizer.zero_grad()
            loss = model()
            if race.steps % _CHECK_EVERY == 0:
                race.see(loss.item())
            loss.backward()
            optimizer.step()
            race.steps += 1

    return Race(target, limit).run(loop)
