"""The worked examples for contributors run as they stand."""

import pathlib
import re

import jax
import numpy as np
import pytest
from moved_leaves import unread

PAGE = pathlib.Path(__file__).parent.parent / ".github" / "CONTRIBUTING.md"
KINDS = ("minimum", "trajectory", "spectrum", "bound", "identity")
EXAMPLES = dict(zip((*KINDS, "loss", "metric"), re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S), strict=True))


def run(name):
    namespace = {"__name__": f"example_{name}"}
    exec(compile(EXAMPLES[name], f"{PAGE.name}: {name}", "exec"), namespace)
    return namespace


@pytest.fixture(scope="module", params=KINDS)
def theorem(request):
    (theorem,) = run(request.param)["THEOREMS"]
    assert theorem.kind == request.param and theorem.claim and len(EXAMPLES[request.param].splitlines()) <= 60
    return theorem


def test_the_theorems_of_the_page_hold_on_their_cases_and_at_random(theorem):
    cases = [*theorem.cases().values(), *(theorem.draw(np.random.default_rng(i)) for i in range(3))]
    closed_form = theorem.closed_form()
    for case in cases:
        checks = theorem.evidence(case, closed_form(case), theorem.measure(case, jax.random.key(0)))
        assert checks and all(check.passed for check in checks)


def test_they_fail_wherever_a_leaf_of_what_they_predict_is_off_by_a_thousandth(theorem):
    assert unread(theorem) == set()


@pytest.mark.parametrize("name", ["loss", "metric"])
def test_the_other_examples_of_the_page_assert_what_they_say(name):
    run(name)


def test_the_map_of_rooms_names_every_room():
    named = set(re.findall(r"`(\w+)/?`", PAGE.read_text().split("## A theorem")[0]))
    package = PAGE.parent.parent / "ufm"
    rooms = {p.stem for p in package.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert rooms - named <= {"__init__", "__main__", "canary", "environment"}
