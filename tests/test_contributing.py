"""The worked examples for contributors run as they stand."""

import pathlib
import re

import jax
import numpy as np
import pytest

PAGE = pathlib.Path(__file__).parent.parent / ".github" / "CONTRIBUTING.md"
EXAMPLES = dict(zip(("theorem", "loss", "metric"), re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S), strict=True))


def run(name):
    namespace = {"__name__": f"example_{name}"}
    exec(compile(EXAMPLES[name], f"{PAGE.name}: {name}", "exec"), namespace)
    return namespace


@pytest.fixture(scope="module")
def theorem():
    return run("theorem")["THEOREMS"][0]


def test_the_theorem_of_the_page_holds_on_its_cases_and_at_random(theorem):
    cases = [*theorem.cases().values(), *(theorem.draw(np.random.default_rng(i)) for i in range(5))]
    for case in cases:
        checks = theorem.evidence(case, theorem.predict(case), theorem.measure(case, jax.random.key(0)))
        assert checks and all(check.passed for check in checks)


def test_it_fails_when_its_formula_is_off_by_a_thousandth(theorem):
    case = theorem.cases()["unequal"]
    checks = theorem.evidence(case, 1.001 * theorem.predict(case), theorem.measure(case, jax.random.key(0)))
    assert not all(check.passed for check in checks)


@pytest.mark.parametrize("name", ["loss", "metric"])
def test_the_other_examples_of_the_page_assert_what_they_say(name):
    run(name)


def test_the_map_of_rooms_names_every_room():
    named = set(re.findall(r"`(\w+)/?`", PAGE.read_text().split("## A theorem")[0]))
    package = PAGE.parent.parent / "ufm"
    rooms = {p.stem for p in package.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert rooms - named <= {"__init__", "__main__", "canary", "environment"}
