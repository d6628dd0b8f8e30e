"""The faults that a mutation run tries (`tests/mutants.py`): which ones there are of a line, and what is left alone."""

import ast
import random
from pathlib import Path

import pytest
from faults import KINDS, Faults, closed_forms, faults

ROOT = Path(__file__).parent.parent


def texts(source, kind="core", wanted=None):
    return {fault.applied(source) for fault in Faults(kind, "a.py", source, wanted).found}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a + b", {"a - b", "(a)"}),
        ("a / b", {"a * b", "(a)"}),
        ("a ** b", {"a * b"}),
        ("-a", {"(a)"}),
        ("not a", {"(a)"}),
        ("a <= b", {"a > b"}),
        ("a is not b", {"a is b"}),
        ("a and b", {"a or b"}),
        ("a if c else b", {"b if c else a"}),
        ("jnp.minimum(a, b)", {"jnp.maximum(a, b)"}),
        ("jnp.where(c, a, b)", {"jnp.where(c, b, a)"}),
        ("f(3)", {"f(4)"}),
        ("f(2.0)", {"f(2.002)"}),
        ("f(1e-9)", {f"f({1e-9 * 1000!r})"}),
        ("f(True)", {"f(False)"}),
    ],
)
def test_each_kind_of_fault_is_made_where_it_can_be(source, expected):
    assert texts(source) == expected


@pytest.mark.parametrize(
    "source",
    ['raise ValueError(f"{a + b}")', "refuse('x', a + b, 'less')", "def __repr__(self):\n    return a + b", "x: Literal[3]",
     "f(200)", "s = time.perf_counter() - start", '"""a + b"""'],
)  # fmt: skip
def test_messages_annotations_clocks_and_counts_of_steps_are_left_alone(source):
    assert texts(source) == set()


def test_functions_of_the_evidence_return_at_once_and_lose_their_checks():
    source = "def e(x) -> list[Check]:\n    return [one(x), two(x)]\n"
    expected = {"def e(x) -> list[Check]:\n    return []\n    return [one(x), two(x)]\n"}
    expected |= {f"def e(x) -> list[Check]:\n    return [{kept}(x)]\n" for kept in ("one", "two")}
    assert texts(source, "evidence") == expected and texts(source) == set()


def test_allowances_of_single_entries_are_left_alone_and_those_of_kits_are_not():
    source = "f(Check(a, b, -x, 3 * 2.0))"
    assert texts(source, "evidence") == {"f(Check(a, b, (x), 3 * 2.0))"}
    assert len(Faults("evidence", "ufm/theory/statements/minima.py", source, None).found) == 5


def test_closed_forms_are_what_entries_name_and_what_these_call():
    source = "def f(x): return g(x)\ndef g(x): return x\ndef measured(x): return x\ndef predict_it(x): return x\nE = T(predict=f)\n"
    assert closed_forms(ast.parse(source)) == {"f", "g", "predict_it"}
    statement = source.replace("T(predict=f)", "T('an-id', 'derived', f, measured, dict)")
    assert closed_forms(ast.parse(statement)) == {"f", "g", "predict_it"}
    assert texts("def f(x):\n    return x + y\ndef h(x):\n    return x - y\n", "closed-form", {"f"}) == {
        "def f(x):\n    return x - y\ndef h(x):\n    return x - y\n", "def f(x):\n    return (x)\ndef h(x):\n    return x - y\n"
    }  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_faults_of_the_tree_are_programs_that_differ_in_one_line(kind):
    found = faults(kind, ROOT)
    assert len(found) > 500 and len({fault.name for fault in found}) == len(found)
    for fault in random.Random(0).sample(found, 40):
        source = (ROOT / fault.path).read_text()
        ast.parse(fault.applied(source))
        before, after = fault.lines(source)
        assert before != after or "\n" in source[fault.start : fault.end]
