"""The command line: one line and the usual exit code for whatever goes wrong, before the work where that can be known."""

import io
import os
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ufm
from ufm import cli
from ufm.base import checks
from ufm.cli import output

HUGE = str(10**12)
LANGUAGE = ("language", "--vocabulary", "8", "--dimensions", "4", "--exponent", "1")
REFUSED = {
    ("verify", "--cases", HUGE): "cases must be a whole number of at least 0 and at most 1000000",
    ("verify", "--cases", "-1"): "cases must be",
    ("verify", "--seed", "-1"): "seed must be",
    ("verify", "--seed", "9" * 30): "seed must be",
    (*LANGUAGE, "--starts", "0"): "starts must be",
    (*LANGUAGE, "--starts", HUGE): "starts must be",
    (*LANGUAGE, "--seed", "9" * 30): "seed must be",
    (*LANGUAGE, "--contexts", HUGE): "the sizes asked for are too large for this machine",
    ("longtail", "--seed", "9" * 30): "seed must be",
    ("perturb", "--epochs", HUGE): "epochs must be",
    ("metrics", "features.pt"): r"a file of PyTorch: write one with numpy\.savez",
    ("metrics", "features.h5"): "a file of HDF5",
}


@pytest.mark.parametrize("arguments", list(REFUSED))
def test_what_cannot_be_done_ends_in_one_line_and_code_2(arguments, capsys):
    assert cli.main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    with pytest.raises(ValueError, match=REFUSED[arguments]):
        raise ValueError(err)


@pytest.fixture
def features(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "features.npz", features=rng.normal(size=(30, 5)), labels=np.arange(30) % 3)
    return str(tmp_path / "features.npz")


JSON = {"a folder": ".", "a full disk": "/dev/full", "no folder": "nowhere/numbers.json", "no name": "/proc/numbers.json"}
COMMANDS = [("verify", "mse-balanced-deep"), ("metrics", "FEATURES"), ("longtail",), LANGUAGE, ("perturb",), ("atlas",)]


@pytest.mark.parametrize("what", list(JSON))
@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
def test_a_json_file_that_cannot_be_written_is_refused_before_the_work(arguments, what, features, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start = time.monotonic()
    assert cli.main([features if x == "FEATURES" else x for x in arguments] + ["--json", JSON[what]]) == 2
    assert time.monotonic() - start < 2, "nothing was computed"
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("ufm: --json must name a file that can be written") and err.count("\n") == 1
    assert os.listdir(tmp_path) == ["features.npz"]


@pytest.mark.parametrize("held", [None, '{"old": 1}'])
def test_work_that_fails_leaves_the_json_file_as_it_was(held, tmp_path, capsys):
    file = tmp_path / "numbers.json"
    if held is not None:
        file.write_text(held)
    assert cli.main([*LANGUAGE, "--starts", "0", "--json", str(file)]) == 2
    assert (file.read_text() if file.exists() else None) == held


def test_the_numbers_are_written_before_a_reader_can_go_away(features, tmp_path, monkeypatch):
    file = tmp_path / "numbers.json"
    monkeypatch.setattr(output, "show", lambda report: (_ for _ in ()).throw(KeyboardInterrupt))
    assert cli.main(["metrics", features, "--json", str(file)]) == 130
    assert file.read_text().startswith("{")


def ufm_process(*arguments, **options):
    where = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-m", "ufm", *arguments], env=where, text=True, **options)


def test_a_reader_that_goes_away_ends_it_quietly():
    with ufm_process("theorems", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.wait(timeout=120) == 141 and process.stderr.read() == ""


@pytest.fixture
def heard():
    """Interrupts are heard by what the test begins, also where the tests run in the background of a shell, which hears none."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("to_all", [False, True], ids=["one process", "as a terminal does"])
def test_an_interrupt_ends_verification_in_one_line(to_all):
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with ufm_process("verify", "--cases", "1000", "--family", "mse", **streams, start_new_session=True) as process:
        time.sleep(12)
        (os.killpg if to_all else os.kill)(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "ufm: interrupted\n")


def test_a_plain_run_says_nothing_but_its_report(features):
    for arguments in (("verify", "mse-balanced-deep"), ("metrics", features)):
        with ufm_process(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            out, err = process.communicate(timeout=300)
        assert process.returncode == 0 and out and err == ""


EXTRAS = {
    "matplotlib": ("plot", lambda: ufm.plot.geometry(PROBLEM, ufm.initialize(PROBLEM, jax.random.key(0)))),
    "xarray": ("sweep", lambda: ufm.sweep("closed_form", PROBLEM, {"l2_H": [1e-2]})),
    "tqdm": ("sweep", lambda: ufm.sweep("closed_form", PROBLEM, {"l2_H": [1e-2]})),
    "wordfreq": ("language", lambda: ufm.features.tokens.word_frequencies("en", 8)),
    "sklearn": ("networks", lambda: ufm.features.networks.digits(10)),
}
PROBLEM = ufm.Problem.balanced(3, 2, 3, l2_W=1e-2, l2_H=1e-2)


@pytest.mark.parametrize("module", list(EXTRAS))
def test_what_is_not_installed_is_named_with_its_extra(module, monkeypatch):
    extra, call = EXTRAS[module]
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=rf"^{module} is not installed: pip install 'ufm\[{extra}\]'$"):
        call()


TAKES_KEYS = {
    "initialize": lambda key: ufm.initialize(PROBLEM, key),
    "solve": lambda key: ufm.solve(PROBLEM, key),
    "draw_pooled": lambda key: ufm.equivalent.draw_pooled(PROBLEM, key, jnp.zeros((3, 3)), 1.0),
    "lift_samples": lambda key: ufm.equivalent.lift_samples(PROBLEM, key, jnp.ones((3, 5)), [0]),
    "wishart_factor": lambda key: ufm.equivalent.wishart_factor(key, 9, 3),
    "grassmannian": lambda key: ufm.frames.grassmannian(5, 3, key),
    "spherical_code": lambda key: ufm.frames.spherical_code(5, 3, key),
    "softmax_code": lambda key: ufm.frames.softmax_code(5, 3, key),
    "sparse_etf": lambda key: ufm.frames.sparse_etf(4, 8, 0.5, key),
    "equiangular_basis": lambda key: ufm.frames.equiangular_basis(5, 3, 0.9, key),
    "mixup_samples": lambda key: ufm.settings.mixup.mixup_samples(key, 3, 2, 1.0),
    "random_contexts": lambda key: ufm.settings.language.random_contexts(key, np.ones(4) / 4, 3),
}


@pytest.mark.parametrize("key", [0, 1.5, None, np.zeros(3), np.random.default_rng(0)], ids=lambda key: type(key).__name__)
@pytest.mark.parametrize("name", list(TAKES_KEYS))
def test_what_is_no_random_key_is_refused_by_name(name, key):
    with pytest.raises(ValueError, match=r"^(key|start) must be (a random|one) key.* got"):
        TAKES_KEYS[name](key)


def test_traced_params_are_refused_where_numbers_are_needed():
    point = ufm.initialize(PROBLEM, jax.random.key(0))
    with pytest.raises(ValueError, match="problem and params must be known numbers, got traced ones: call it outside jit"):
        jax.jit(lambda params: ufm.identify(PROBLEM, params).nc1)(point)


def test_a_module_that_is_broken_is_not_called_missing(monkeypatch, tmp_path):
    (tmp_path / "half_there.py").write_text("import nothing_of_this_name")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="nothing_of_this_name"):
        checks.optional("half_there", "plot")


def test_show_prints_what_it_is_given(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    output.show("every word of it")
    assert sys.stdout.getvalue() == "every word of it\n"
