"""Sweeps as TOML: the same arguments as in Python, and messages that name the key."""

import tomllib

import numpy as np
import pytest

from ufm import Problem
from ufm.losses import focal
from ufm.problem import ClassSizes
from ufm.sweeps.functions import FUNCTIONS
from ufm.sweeps.spec import read_spec, spec_of

TEXT = """
function = "flowed"
seeds = [3, 5]

[problem]
classes = 4
per_class = 10
widths = [8]
l2_W = 5e-3
l2_H = 5e-3
loss = "focal(2)"

[axes]
l2_W = {from = 1e-4, to = 1e-2, points = 3}
scale = {from = 1, to = 5, points = 5, spacing = "linear"}
l2_H = [1e-4, 1e-3]
K = {from = 3, to = 10, points = 3}
loss = ["mse", "focal(2)"]
"l2_W[0]" = [0.1]

[options]
time = 100.0
"""


def changed(*pairs):
    text = TEXT
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return tomllib.loads(text)


def test_a_file_gives_the_arguments_of_the_sweep(tmp_path):
    (tmp_path / "a.toml").write_text(TEXT)
    spec = read_spec(tmp_path / "a.toml")
    assert spec.fn.func is FUNCTIONS["flowed"] and spec.fn.keywords == {"time": 100.0} and spec.seeds == [3, 5]
    expected = Problem.balanced(4, 10, (8,), l2_W=5e-3, l2_H=5e-3, loss=focal(2.0))
    assert repr(spec.problem) == repr(expected) and spec.problem.columns == 40
    np.testing.assert_allclose(spec.axes["l2_W"], [1e-4, 1e-3, 1e-2])
    np.testing.assert_allclose(spec.axes["scale"], [1, 2, 3, 4, 5])
    assert list(spec.axes) == ["l2_W", "scale", "l2_H", "K", "loss", "l2_W[0]"]
    assert spec.axes["K"] == [3, 5, 10] and spec.axes["loss"] == ["mse", focal(2.0)]


def test_counts_make_an_imbalanced_problem_and_seeds_go_with_keys():
    spec = spec_of(changed(("classes = 4\nper_class = 10", "counts = [8, 4, 2]"), ("seeds = [3, 5]\n", "")))
    assert type(spec.problem.design) is ClassSizes and spec.seeds == 1
    closed = changed(('"flowed"', '"closed_form"'), ("seeds = [3, 5]\n", ""), ("[options]\ntime = 100.0", ""))
    assert spec_of(closed).seeds is None and spec_of(closed).fn is FUNCTIONS["closed_form"]


@pytest.mark.parametrize(
    "old, new, message",
    [
        ('"flowed"', '"flow"', "function must be one of 'closed_form'.* got 'flow'"),
        ('"flowed"', '"closed_form"', "unknown key 'options.time': allowed are none"),
        ("seeds = [3, 5]", "seeds = 2.5", "seeds must be a whole number of at least 1, got 2.5"),
        ("seeds = [3, 5]", "seeds = [-1]", "seeds must be a whole number of at least 0, got -1"),
        ("seeds = [3, 5]", "chunk = 5", "unknown key 'chunk': allowed are function, seeds"),
        ("time = 100.0", "tme = 1", r"unknown key 'options.tme' \(did you mean 'time'\?\)"),
        ("time = 100.0", "time = -1", "options.time must be finite and above 0, got -1"),
        ("time = 100.0", "time = [1, 2]", "options.time must be one number"),
        ("classes = 4", "clases = 4", r"unknown key 'problem.clases' \(did you mean 'classes'\?\)"),
        ("per_class = 10\n", "", "missing key 'problem.per_class'"),
        ("per_class = 10", "per_class = 0", r"\[problem\]: per_class must be a whole number of at least 1, got 0"),
        ("widths = [8]", "widths = [[8]]", r"\[problem\]: widths must be"),
        ("l2_W = 5e-3", 'l2_W = "a"', r"\[problem\]: l2_W must be a number: .*, got 'a'"),
        ('loss = "focal(2)"', 'loss = "focal(a)"', "problem.loss must be a function of ufm.losses with its numbers"),
        ('loss = "focal(2)"', 'loss = "hinge"', "problem.loss must be one of 'mse'"),
        ('loss = ["mse", "focal(2)"]', 'loss = ["mse", "os(1)"]', "axes.loss must be a function of ufm.losses"),
        ('loss = ["mse", "focal(2)"]', "loss = {from = 1, to = 2, points = 2}", "axes.loss must be a list of values"),
        ("l2_H = [1e-4, 1e-3]", "l2_h = [1]", r"unknown key 'axes.l2_h' \(did you mean"),
        ("l2_H = [1e-4, 1e-3]", "l2_H = []", "axes.l2_H must be a list of values, or {from, to, points}"),
        ("l2_H = [1e-4, 1e-3]", "l2_H = [nan]", "axes.l2_H must be finite"),
        ("l2_H = [1e-4, 1e-3]", '"K[0]" = [3]', r"unknown key 'axes.K\[0\]'"),
        ("points = 5", "points = 0", "axes.scale.points must be a whole number of at least 1, got 0"),
        (', spacing = "linear"', ', spacing = "log"', "axes.scale.spacing must be one of 'geometric', 'linear', got 'log'"),
        ("from = 1e-4, to = 1e-2, points = 3", "from = 1e-4, to = 1e-2", "missing key 'axes.l2_W.points'"),
        ("from = 1e-4", "from = 0", "axes.l2_W.from must be finite and above 0, got 0"),
    ],
)
def test_messages_name_the_key_the_value_and_what_is_allowed(old, new, message):
    with pytest.raises(ValueError, match=message):
        spec_of(changed((old, new)))


def test_tables_must_be_tables_and_there_must_be_an_axis():
    with pytest.raises(ValueError, match=r"problem must be a table, \[problem\], got 3"):
        spec_of({"function": "minimum", "problem": 3, "axes": {"l2_H": [1]}})
    with pytest.raises(ValueError, match="axes must be a table of at least one axis"):
        spec_of({"function": "minimum", "problem": {"classes": 3, "per_class": 1, "widths": 3}, "axes": {}})
    with pytest.raises(ValueError, match="seeds must be left out: 'closed_form' takes no random key"):
        spec_of({"function": "closed_form", "seeds": 3, "problem": {}, "axes": {"l2_H": [1]}})


@pytest.mark.parametrize("content, message", [(b"a = = 3", "Invalid value"), (b"\xff", "decode"), (b"a = 3", "unknown key 'a'")])
def test_messages_name_the_file(tmp_path, content, message):
    (tmp_path / "bad.toml").write_bytes(content)
    with pytest.raises(ValueError, match=f"bad.toml: .*{message}"):
        read_spec(tmp_path / "bad.toml")
    with pytest.raises(ValueError, match="SPEC must be a TOML file, got .*none.toml"):
        read_spec(tmp_path / "none.toml")
