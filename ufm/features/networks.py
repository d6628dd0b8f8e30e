"""Real networks on real data: a perceptron and a small residual network on the digits of scikit-learn, past zero training error.

Training minimises, by mini-batch descent with momentum and a cosine schedule,

    (1/N) sum_i loss(W h_i, y_i) + weight_decay/2 |theta|^2,    h_i = the features of the last hidden layer, theta all parameters,

so that the ridge of the last layer (no bias) is l2_W = weight_decay, as in `ufm.Problem`. The order of the samples is a function
of (seed, epoch) alone: a training that goes on from a checkpoint ends with the same bits as one that was never interrupted.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from ufm.base.checks import (
    MANY,
    check_choice,
    check_count,
    check_non_negative,
    check_positive,
    check_seed,
    optional,
    refuse,
    x64_is_on,
)
from ufm.features.checkpoint import load_arrays, save_arrays
from ufm.losses import get_loss

CLASSES = 10
_SMALLEST_CLASS = 174


@dataclass(frozen=True)
class Training:
    """What is trained, and how.

    Args:
      model: "mlp" (`depth` hidden ReLU layers of `width`) or "cnn" (a strided 3 x 3 convolution to 4 x 4 pixels of `width`
        channels, then `depth - 1` residual blocks of two convolutions; features are the channels averaged over the image).
      loss: "mse" or "ce".
      epochs, batch: passes over the data, samples a step (a divisor of 10 per_class).
      per_class: training samples a class, the first of each in the file's order; the others measure the test error.
      width, depth: d and the number of hidden layers.
      learning_rate, momentum, weight_decay: of the descent; the learning rate falls to zero as a cosine.
      seed: of the start and of the order of the samples. dtype: "float32" or "float64".
    """

    model: str = "mlp"
    loss: str = "mse"
    epochs: int = 600
    batch: int = 100
    per_class: int = 100
    width: int = 64
    depth: int = 5
    learning_rate: float = 0.3
    momentum: float = 0.9
    weight_decay: float = 1e-3
    seed: int = 0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        check_choice("model", self.model, ("mlp", "cnn"))
        check_choice("loss", self.loss, ("mse", "ce"))
        check_choice("dtype", self.dtype, ("float32", "float64"))
        for name in ("epochs", "batch", "per_class", "width", "depth"):
            check_count(name, getattr(self, name), 1, MANY)
        check_seed("seed", self.seed)
        if self.per_class > _SMALLEST_CLASS - 1:
            refuse("per_class", self.per_class, f"at most {_SMALLEST_CLASS - 1}, so that every class keeps a sample for the test")
        if self.samples % self.batch:
            refuse("batch", self.batch, f"a divisor of the {self.samples} training samples")
        check_positive("learning_rate", self.learning_rate)
        check_non_negative("weight_decay", self.weight_decay)
        if not 0 <= self.momentum < 1:
            refuse("momentum", self.momentum, "in [0, 1)")
        if self.dtype == "float64" and not x64_is_on():
            refuse("dtype", self.dtype, "'float32' unless jax_enable_x64 is set")

    @classmethod
    def of(cls, model: str, **changes: Any) -> "Training":
        """The default training of a model, past zero training error in seconds (mlp) or a minute (cnn), with changes."""
        sizes = {"cnn": {"epochs": 100, "width": 32, "depth": 4, "learning_rate": 0.3}}
        return cls(**({"model": model} | sizes.get(model, {}) | changes))

    @property
    def samples(self) -> int:
        """N, the number of training samples."""
        return CLASSES * self.per_class

    @property
    def captured(self) -> tuple[int, ...]:
        """The epochs after which features are kept: the start, the end, and a ninth, a third of the way."""
        return tuple(sorted({0, self.epochs // 9, self.epochs // 3, self.epochs}))

    @property
    def name(self) -> str:
        """A file name that no other training has."""
        digest = hashlib.sha256(json.dumps(dataclasses.asdict(self), sort_keys=True).encode()).hexdigest()
        return f"{self.model}-{digest[:16]}.npz"


class Trained(NamedTuple):
    """A trained network as arrays.

    training: what was asked for. epochs: the captured ones. layers: names, the pixels first.
    features: for each captured epoch the features of each layer, (d_l, N), columns grouped by class.
    labels: (N,). W: (K, d) of the last layer, one an epoch captured.
    loss, error: (epochs,) mean loss and share of wrong answers on the training samples at the end of each epoch.
    test_error: share of wrong answers on the other samples, at the end.
    """

    training: Training
    epochs: tuple[int, ...]
    layers: tuple[str, ...]
    features: tuple[tuple[np.ndarray, ...], ...]
    labels: np.ndarray
    W: tuple[np.ndarray, ...]
    loss: np.ndarray
    error: np.ndarray
    test_error: float


def digits(per_class: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The 1797 8 x 8 digits as (N, 8, 8, 1) images in [0, 1] and labels: the first per_class of each class, and the others.

    Raises:
      ValueError: where scikit-learn is not installed.
    """
    images, labels = optional("sklearn.datasets", "networks").load_digits(return_X_y=True)
    images, labels = images.reshape(-1, 8, 8, 1) / 16, labels.astype(np.int64)
    order = [np.flatnonzero(labels == k) for k in range(CLASSES)]
    first, others = (np.concatenate([part(own) for own in order]) for part in (lambda x: x[:per_class], lambda x: x[per_class:]))
    return images[first], labels[first], images[others], labels[others]


def train(
    training: Training, store: Path | None = None, progress: Callable[[int, int], None] | None = None, every: int = 10
) -> Trained:
    """Train a network, or go on where the checkpoint of the same training in `store` ends.

    Args:
      training: what is trained.
      store: a folder for checkpoints, one file a training; None keeps none.
      progress: called as progress(epochs done, epochs in all) after each epoch.
      every: epochs between checkpoints.

    Returns:
      Trained, with the same bits whether or not the training was interrupted.

    Raises:
      ValueError: for a store that is no folder, a damaged checkpoint, or a training that diverged.
    """
    check_count("every", every, 1)
    images, labels, test_images, test_labels = digits(training.per_class)
    images, test_images = images.astype(training.dtype), test_images.astype(training.dtype)
    targets = np.eye(CLASSES, dtype=training.dtype)[labels]
    file = None if store is None else Path(store) / training.name
    run = _start(training, images)
    if file is not None:
        run = _resumed(run, file)
    for done in range(len(run.curve), training.epochs):
        order = np.random.default_rng((training.seed, done)).permutation(training.samples)
        state, loss, error = _epoch(training, run.state, images, targets, order.reshape(-1, training.batch))
        if not np.isfinite(loss):
            raise ValueError(
                f"training diverged in epoch {done + 1} (loss {float(loss)}): a learning_rate below "
                f"{training.learning_rate:g} is needed"
            )
        kept = [*run.kept, state[0]] if done + 1 in training.captured else run.kept
        run = _Run(state, kept, [*run.curve, (float(loss), float(error))])
        if file is not None and ((done + 1) % every == 0 or done + 1 == training.epochs):
            save_arrays(file, _as_arrays(run))
        if progress is not None:
            progress(done + 1, training.epochs)
    seen = [_answers(training, parameters, images)[1] for parameters in run.kept]
    first, others = ("hidden 1", "hidden {}") if training.model == "mlp" else ("stem", "block {}")
    names = (first, *(others.format(i + (training.model == "mlp")) for i in range(1, training.depth)))
    answers = np.argmax(_answers(training, run.state[0], test_images)[0], axis=1)
    loss, error = np.asarray(run.curve).T
    return Trained(
        training=training,
        epochs=training.captured,
        layers=("pixels", *names),
        features=tuple(tuple(np.asarray(x).T for x in (images.reshape(len(images), -1), *layers)) for layers in seen),
        labels=labels,
        W=tuple(np.asarray(parameters["params"]["classifier"]["kernel"]).T for parameters in run.kept),
        loss=loss,
        error=error,
        test_error=float(np.mean(answers != test_labels)),
    )


class _Run(NamedTuple):
    """(Parameters, optimiser state), parameters at the captured epochs so far, (loss, error) of each epoch done."""

    state: Any
    kept: list[Any]
    curve: list[tuple[float, float]]


def _start(training: Training, images: np.ndarray) -> _Run:
    parameters = _first(training, images[:1])
    return _Run((parameters, _optimizer(training).init(parameters)), [parameters], [])


def _as_arrays(run: _Run) -> dict[str, np.ndarray]:
    leaves = {"state": jax.tree.leaves(run.state), "kept": jax.tree.leaves(run.kept)}
    named = {f"{name}{i}": np.asarray(x) for name, group in leaves.items() for i, x in enumerate(group)}
    return named | {"curve": np.asarray(run.curve)}


def _resumed(start: _Run, file: Path) -> _Run:
    """The run of a checkpoint, built like the start; the start where there is none."""
    arrays = load_arrays(file)
    if arrays is None:
        return start

    def leaves(group: str) -> list[np.ndarray]:
        return [arrays[f"{group}{i}"] for i in range(sum(name.startswith(group) for name in arrays))]

    state, kept = leaves("state"), leaves("kept")
    tree: Any = jax.tree.structure(start.state[0])
    size = tree.num_leaves
    captured = [jax.tree.unflatten(tree, kept[i : i + size]) for i in range(0, len(kept), size)]
    curve = [tuple(row) for row in arrays["curve"].tolist()]
    return _Run(jax.tree.unflatten(jax.tree.structure(start.state), state), captured, curve)


def _optimizer(training: Training) -> optax.GradientTransformation:
    steps = training.epochs * training.samples // training.batch
    schedule = optax.cosine_decay_schedule(training.learning_rate, steps)
    return optax.chain(optax.add_decayed_weights(training.weight_decay), optax.sgd(schedule, momentum=training.momentum))


@partial(jax.jit, static_argnums=0)
def _first(training: Training, images: jax.Array) -> Any:
    return _network(training).init(jax.random.key(training.seed), images)


@partial(jax.jit, static_argnums=0)
def _answers(training: Training, parameters: Any, images: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
    return _network(training).apply(parameters, images)


@partial(jax.jit, static_argnums=0)
def _epoch(training: Training, state: Any, images: jax.Array, targets: jax.Array, order: jax.Array) -> tuple[Any, ...]:
    network, optimizer, loss = _network(training), _optimizer(training), jax.vmap(get_loss(training.loss).value)

    def value(parameters: Any, rows: jax.Array) -> jax.Array:
        return jnp.mean(loss(network.apply(parameters, images[rows])[0], targets[rows]))

    def step(state: Any, rows: jax.Array) -> tuple[Any, None]:
        parameters, memory = state
        updates, memory = optimizer.update(jax.grad(value)(parameters, rows), memory, parameters)
        return (optax.apply_updates(parameters, updates), memory), None

    state, _ = lax.scan(step, state, order)
    z = network.apply(state[0], images)[0]
    return state, jnp.mean(loss(z, targets)), jnp.mean(jnp.argmax(z, axis=1) != jnp.argmax(targets, axis=1))


@cache
def _network(training: Training) -> Any:
    """A flax module from images (N, 8, 8, 1) to (logits (N, K), features of every hidden layer (N, d))."""
    nn = optional("flax.linen", "networks")
    dtype = jnp.dtype(training.dtype)
    linear = partial(nn.Dense, dtype=dtype, param_dtype=dtype)

    def convolution(x: jax.Array, stride: int = 1, **start: Any) -> jax.Array:
        # one product over 3 x 3 neighbourhoods: XLA's own convolution is slow on CPUs inside a loop
        size = x.shape[1]
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        shifts = [padded[:, i : i + size : stride, j : j + size : stride] for i in range(3) for j in range(3)]
        return linear(training.width, **start)(jnp.concatenate(shifts, axis=-1))

    module: Any = nn.Module

    class Network(module):
        @nn.compact
        def __call__(self, x: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
            layers = []
            x = x.reshape(x.shape[0], -1) if training.model == "mlp" else x
            for i in range(training.depth):
                if training.model == "mlp":
                    x = nn.relu(linear(training.width)(x))
                elif i == 0:
                    x = nn.relu(convolution(x, stride=2))
                else:
                    # each block starts as the identity, without which descent at these rates kills its units
                    x = nn.relu(x + convolution(nn.relu(convolution(x)), kernel_init=nn.initializers.zeros))
                layers.append(x if training.model == "mlp" else jnp.mean(x, axis=(1, 2)))
            return linear(CLASSES, use_bias=False, name="classifier")(layers[-1]), layers

    return Network()
