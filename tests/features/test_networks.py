"""Networks on the digits: what is reported is what the arrays say, and an interruption leaves no trace."""

import dataclasses
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("flax")

from ufm.features.checkpoint import load_arrays, save_arrays
from ufm.features.networks import Training, _answers, _first, digits, train

SMALL = Training(epochs=9, per_class=20, batch=50, width=16, depth=2)


@pytest.fixture(scope="module")
def trained():
    return train(SMALL)


def test_importing_the_networks_and_the_command_draws_in_neither_flax_nor_scikit_learn():
    code = "import sys, ufm.features, ufm.cli.perturb; assert not {'flax', 'sklearn', 'rich.table'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_split_is_fixed_balanced_and_disjoint():
    images, labels, others, other_labels = digits(100)
    assert images.shape == (1000, 8, 8, 1) and others.shape == (797, 8, 8, 1) and images.min() == 0 and images.max() == 1
    assert np.array_equal(np.bincount(labels), [100] * 10)
    assert np.array_equal(np.bincount(labels) + np.bincount(other_labels), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    assert {x.tobytes() for x in images}.isdisjoint(x.tobytes() for x in others)


def test_features_and_classifier_give_the_reported_loss_and_error(trained):
    z = trained.W[-1] @ trained.features[-1][-1]
    Y = np.eye(10)[:, trained.labels]
    assert trained.loss[-1] == pytest.approx(0.5 * np.sum((z - Y) ** 2) / 200, rel=1e-5)
    assert trained.error[-1] == pytest.approx(np.mean(np.argmax(z, 0) != trained.labels), abs=1e-6)
    assert trained.loss[-1] < trained.loss[0] and 0 <= trained.test_error < 0.9


def test_features_are_captured_at_every_layer_of_several_epochs(trained):
    assert trained.epochs == (0, 1, 3, 9) and trained.layers == ("pixels", "hidden 1", "hidden 2")
    assert [[f.shape for f in layers] for layers in trained.features] == [[(64, 200), (16, 200), (16, 200)]] * 4
    assert all(np.array_equal(layers[0], trained.features[0][0]) for layers in trained.features)
    changes = [np.linalg.norm(trained.features[i + 1][2] - trained.features[i][2]) for i in range(3)]
    assert min(changes) > 0.1


@pytest.mark.parametrize("stop", [1, 4, 8])
def test_an_interrupted_training_ends_with_the_same_bits(trained, tmp_path, stop):
    def interrupt(done, total):
        assert total == 9
        if done == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(SMALL, tmp_path, interrupt, every=2)
    seen = []
    resumed = train(SMALL, tmp_path, lambda done, total: seen.append(done), every=2)
    assert seen == list(range(stop // 2 * 2 + 1, 10))
    for a, b in zip(jax.tree.leaves(trained[3:]), jax.tree.leaves(resumed[3:]), strict=True):
        assert np.array_equal(a, b)
    again = train(SMALL, tmp_path, lambda done, total: pytest.fail("nothing was left to train"))
    assert np.array_equal(again.W[-1], trained.W[-1])
    assert [p.name for p in tmp_path.iterdir()] == [SMALL.name]


def test_another_training_has_another_checkpoint():
    changes = {"seed": 1, "epochs": 8, "weight_decay": 2e-3, "loss": "ce"}
    names = {dataclasses.replace(SMALL, **{name: value}).name for name, value in changes.items()}
    assert len(names | {SMALL.name}) == 5


def test_a_checkpoint_is_whole_or_refused(tmp_path, monkeypatch):
    file = tmp_path / "new" / "x.npz"
    assert load_arrays(file) is None
    save_arrays(file, {"a": np.arange(50.0), "b": np.asarray(3)})
    assert np.array_equal(load_arrays(file)["a"], np.arange(50.0)) and load_arrays(file)["b"] == 3
    good = file.read_bytes()
    spot = good.index(np.float64(7.0).tobytes())
    for bad in (good[:-30], b"", b"not a zip", good[:spot] + b"\1" + good[spot + 1 :]):
        file.write_bytes(bad)
        with pytest.raises(ValueError, match="is damaged: remove it"):
            load_arrays(file)
    np.savez(file, a=np.arange(50.0), b=np.asarray(3), checksum=np.zeros(32, np.uint8))
    with pytest.raises(ValueError, match="is damaged"):
        load_arrays(file)
    file.write_bytes(good)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save_arrays(file, {"a": np.zeros(3)})
    assert file.read_bytes() == good and list(file.parent.iterdir()) == [file]
    with pytest.raises(ValueError, match="the store must be a folder"):
        save_arrays(file / "inside.npz", {"a": np.zeros(3)})


def test_the_residual_network_convolves_and_starts_its_blocks_as_the_identity():
    training = Training.of("cnn", per_class=5, batch=25, width=12, depth=2, dtype="float64")
    images = digits(5)[0]
    parameters = _first(training, images[:1])
    z, (stem, block) = _answers(training, parameters, images)
    np.testing.assert_allclose(stem, block)
    np.testing.assert_allclose(z, block @ parameters["params"]["classifier"]["kernel"], rtol=1e-12)
    kernel = parameters["params"]["Dense_0"]["kernel"].reshape(3, 3, 1, 12)
    layout = ("NHWC", "HWIO", "NHWC")
    maps = jax.lax.conv_general_dilated(jnp.asarray(images), kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=layout)
    np.testing.assert_allclose(stem, np.maximum(maps, 0).mean((1, 2)), rtol=1e-12, atol=1e-14)


def test_cross_entropy_is_trained_too():
    run = train(dataclasses.replace(SMALL, loss="ce", epochs=3, learning_rate=0.1))
    z = np.asarray(run.W[-1] @ run.features[-1][-1], float)
    expected = np.mean(np.log(np.exp(z).sum(0)) - z[run.labels, np.arange(200)])
    assert run.loss[-1] == pytest.approx(expected, rel=1e-4)


def test_a_diverging_training_says_so():
    with pytest.raises(ValueError, match=r"training diverged in epoch \d+ .*a learning_rate below 1e\+06"):
        train(dataclasses.replace(SMALL, learning_rate=1e6, epochs=2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "rnn"}, "model must be one of 'mlp', 'cnn', got 'rnn'"),
        ({"loss": "hinge"}, "loss must be one of 'mse', 'ce'"),
        ({"dtype": "float16"}, "dtype must be one of"),
        ({"epochs": 0}, r"epochs must be a whole number of at least 1 and at most \d+, got 0"),
        ({"batch": 30}, "batch must be a divisor of the 200 training samples, got 30"),
        ({"per_class": 174}, "per_class must be at most 173"),
        ({"weight_decay": -1.0}, "weight_decay must be finite and at least 0"),
        ({"learning_rate": 0.0}, "learning_rate must be finite and above 0"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\)"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
    ],
)
def test_what_cannot_be_trained_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **change)
