"""At the prompt: every value says in text and in HTML what it is, whatever transformation or failure it went through."""

import importlib
import pkgutil
from enum import IntEnum
from html.parser import HTMLParser

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ufm
from ufm.base.card import Card, Fact, shown
from ufm.base.describe import describe
from ufm.base.status import Status
from ufm.duality import Certificate
from ufm.losses.loss import proved
from ufm.show import explain
from ufm.show.words import VERDICTS
from ufm.theory.registry import applicable
from ufm.theory.theorem import STATUSES, Check
from ufm.verification.report import CaseResult, Entry, Report

PROBLEM = ufm.Problem.balanced(3, 2, 4, l2_W=1e-2, l2_H=1e-2)
START = ufm.initialize(PROBLEM, jax.random.key(0), 0.1)
KEY = jax.random.key(0)


class Page(HTMLParser):
    """Cells of the body's rows, headers with their scopes, and paragraphs of a card."""

    def __init__(self, html):
        super().__init__()
        self.rows, self.headers, self.paragraphs, self.caption, self._path = [], [], [], "", []
        self.feed(html)
        self.close()
        assert not self._path, f"open tags {self._path}"

    def handle_starttag(self, tag, attrs):
        self._path.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "th":
            self.headers.append(dict(attrs)["scope"])
        if tag == "p":
            self.paragraphs.append("")

    def handle_endtag(self, tag):
        assert self._path.pop() == tag

    def handle_data(self, data):
        if self._path[-1] == "caption":
            self.caption += data
        elif self._path[-1] == "p":
            self.paragraphs[-1] += data
        else:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def values():
    solution = ufm.solve(PROBLEM, KEY)
    return {
        "Problem": PROBLEM,
        "Prediction": ufm.predict(PROBLEM),
        "Solution": solution,
        "Certificate": ufm.certify(PROBLEM, solution.params),
        "Trajectory": ufm.flow(PROBLEM, START, [0.0, 1.0, 5.0]),
        "Descent": ufm.descend(PROBLEM, START, 4, optax.sgd(0.1), every=2, record=ufm.objective),
        "Identification": ufm.identify(PROBLEM, solution.params),
        "Minimum": ufm.minimise(lambda x: jnp.sum((x - 1) ** 2) + 1, jnp.zeros(2)),
        "Theorem": ufm.catalogue()["mse-balanced-deep"],
    }


def facts(x):
    return {fact.name: fact.value for fact in explain(x).facts}


def test_text_and_html_say_the_same_and_are_what_the_prompt_shows(values):
    for name, value in values.items():
        card = explain(value)
        assert card.title.startswith(name) and card.verdict.endswith("."), card
        if isinstance(value, ufm.Problem):  # shows itself; what the laboratory knows of it is `explain`'s to say
            assert str(value).splitlines()[:-2] == str(card).splitlines()[: len(card.facts) + 1] and "ufm.explain" in str(value)
        else:
            assert str(value) == card.text() == repr(card) and value._repr_html_() == card.html() == card._repr_html_()
        page = Page(card.html())
        assert page.caption == card.title and page.rows == [["", "value", "meaning"], *map(list, card.facts)]
        assert page.headers == ["col", "col"] + ["row"] * len(card.facts)
        assert page.paragraphs == [card.verdict] + ([f"Source: {card.source}"] if card.source else [])
        words = card.text().split()
        for text in (card.title, card.verdict, card.source, *(word for fact in card.facts for word in fact)):
            assert set(text.split()) <= set(words) | {f"{fact.name}:".split()[-1][:-1] for fact in card.facts}


def test_cards_are_small_bring_no_colours_and_fit_a_terminal(values):
    for value in values.values():
        html = value._repr_html_()
        assert len(html) < 4000 and "color" not in html and "background" not in html
        assert max(map(len, str(value).splitlines())) <= 110


def test_html_is_escaped():
    card = Card("<title>", (Fact("<th>", "<td>&amp;", "<b>"),), "<p>.", "<i>")
    page = Page(card.html())
    assert (page.caption, page.rows[1], page.paragraphs) == ("<title>", list(card.facts[0]), ["<p>.", "Source: <i>"])
    name = "<script>&"
    problem = PROBLEM.replace(loss=ufm.Loss(name, lambda z, y: jnp.sum((z - y) ** 2), convex=True))
    assert name in str(problem) and "<script>" not in problem._repr_html_() and name in Page(problem._repr_html_()).rows[1]


def test_a_problem_keeps_its_short_repr():
    assert repr(PROBLEM) == "Problem(mse, K=3, n=2, widths=(4,), bias=none, l2_W=0.01, l2_H=0.01)"


PROBLEMS = [
    PROBLEM,
    PROBLEM.replace(bias="free"),
    PROBLEM.replace(loss="ce"),
    ufm.Problem.balanced(3, 2, (3, 3), bias="ridge", l2_W=1e-2, l2_H=1e-2, l2_b=1e-2),
    ufm.Problem.imbalanced((4, 2, 1), (5, 5), l2_W=1e-2, l2_H=1e-2),
    ufm.Problem.balanced(3, 2, 4, smoothing=0.1, l2_W=1e-2, l2_H=1e-2),
    ufm.Problem.imbalanced((4, 2), 6, loss="ce", features="nonnegative", l2_W=1e-3, l2_H=1e-3),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=repr)
def test_a_problem_names_the_theorem_that_predict_follows_and_cites_it(problem):
    theorem = ufm.catalogue()[ufm.predict(problem).theorem]
    card = explain(problem)
    assert applicable(problem)[0] is theorem
    assert f"{theorem.id} ({theorem.status})" in card.verdict and card.source == theorem.source


def test_a_problem_without_theorem_or_bound_says_so():
    mine = ufm.Loss("mine", lambda z, y: jnp.sum(jnp.abs(z - y) ** 1.5))
    card = explain(ufm.Problem.imbalanced((5, 2), (4, 3), loss=mine, bias="ridge", l2_W=(1e-2, 2e-2), l2_H=1e-2, l2_b=0.5))
    assert "No theorem" in card.verdict and "no bound" in card.verdict and "declare it" in card.verdict and not card.source
    values = {fact.name: fact.value for fact in card.facts}
    assert values["l2_W"] == "(0.01, 0.02)" and values["l2_b"] == "0.5" and values["layers"] == "4 -> 3 -> 2"
    assert "imbalanced, 2 to 5 samples, ratio 2.5" in str(card)


def test_the_numbers_on_a_card_are_those_of_the_value(values):
    prediction, solution = values["Prediction"], values["Solution"]
    assert facts(prediction)["value"] == f"{float(prediction.value):.10g}" == facts(solution)["value"]
    assert facts(prediction)["rank"] == facts(solution)["rank"] == str(int(solution.rank))
    assert facts(solution)["steps"] == str(int(solution.steps)) and facts(solution)["starts"] == "1 of 1"
    assert facts(values["Trajectory"])["value"] == " then ".join(f"{float(v):.6g}," for v in values["Trajectory"].value[::2])[:-1]
    assert facts(values["Descent"])["steps"] == "4" and facts(values["Minimum"])["value"] == "1"


@pytest.mark.parametrize(
    ("label", "words"),
    [("optimal", "no parameters of the problem have a lower value"), ("numerical", "no proof"), ("best-known", "an upper bound")],
)
def test_a_prediction_says_how_sure_it_is(values, label, words):
    assert words in explain(values["Prediction"].named("mse-balanced-deep", label)).verdict


def test_a_prediction_says_when_everything_vanishes_and_when_no_number_came_out():
    assert "all features vanish" in explain(ufm.predict(PROBLEM.replace(l2_H=10.0))).verdict
    lost = jax.tree.map(lambda x: x * jnp.nan if x.dtype == float else x, ufm.predict(PROBLEM))
    assert "No number came out" in str(lost) and "value: NaN" in str(lost)
    stacked = jax.vmap(lambda x: ufm.predict(PROBLEM.replace(l2_H=x)))(jnp.array([1e-2, 10.0, 20.0]))
    assert "At 2 of 3 minima all features vanish" in str(stacked) and "3 lanes" in str(stacked)


def certificate(value, gap, ratio=1.0, dtype=float):
    value, gap, ratio = (jnp.asarray(x, dtype) for x in (value, gap, np.broadcast_to(ratio, np.shape(value))))
    return Certificate(value, value - gap, gap, gap / jnp.abs(value), ratio)


def test_a_certificate_says_what_it_proves(values):
    assert explain(values["Certificate"]).verdict.startswith("Global minimum to relative ")
    proved = explain(certificate(0.0198, 6e-12)).verdict
    assert proved == "Global minimum to relative 3e-10: no parameters have a lower value than 0.0198 - 6e-12."
    assert "at most 0.001 of the value lower: a smaller tolerance" in explain(certificate(2.0, 2e-3)).verdict
    loose = explain(certificate(2.0, 1.0)).verdict
    assert loose.startswith("Not certified") and "0.5 of the value" in loose and "escape_direction" not in loose
    assert "escape_direction" in explain(certificate(2.0, 1.0, ratio=1.1)).verdict
    assert explain(certificate(2.0, 2.5e-6)).verdict.startswith("The global minimum is at most")
    assert explain(certificate(2.0, 1e-4, dtype=np.float32)).verdict.startswith("Global minimum")
    assert explain(certificate(0.0, 0.0)).verdict.startswith("Global minimum to relative 0:")


def test_a_certificate_without_a_bound_or_a_value_says_so():
    assert explain(certificate(1.0, np.inf)).verdict.startswith("No bound")
    assert explain(certificate(np.nan, 1.0)).verdict.startswith("The value is infinite or NaN")
    mse = PROBLEM.loss
    # `Loss` would refuse it
    liar = proved("liar", lambda z, y: mse.value(z, y), lambda theta, y: mse.conjugate(theta, y) - 9, convex=True)
    assert "above the value, which cannot be: the conjugate" in str(ufm.certify(PROBLEM.replace(loss=liar), START))


def test_stacked_certificates_are_counted_with_the_lanes_that_prove_nothing():
    card = explain(certificate(np.array([1.0, 1.0, 2.0]), np.array([1e-9, 3e-9, 1.0])))
    assert card.title.endswith("3 lanes")
    assert card.verdict.startswith("2 of 3 lanes: global minima to relative 3e-09 or better. 1 of 3 lanes (2): not certified")


def test_a_solution_says_how_many_starts_agree(values):
    solution = values["Solution"]
    value = solution.value

    def verdict(*others):
        return explain(solution._replace(start_values=jnp.stack([value * (1 + x) for x in others]))).verdict

    assert "All 3 starts agree" in verdict(0, 1e-9, 5e-7)
    assert "1 of 3 starts came to it" in verdict(0, 2e-6, 0.5)
    assert "None of the 2 starts came to it" in verdict(jnp.nan, 1.0)


def test_failures_say_what_happened_and_what_to_do(values):
    short = ufm.solve(PROBLEM, KEY, max_steps=2)
    assert "MAX_STEPS" in str(short) and "allow more steps" in str(short)
    lost = ufm.solve(PROBLEM, jax.tree.map(lambda x: jnp.nan * x, START))
    assert "NON_FINITE" in str(lost) and "value: NaN" in str(lost) and "check the scale" in str(lost)
    path = values["Trajectory"]
    short = path._replace(value=path.value.at[2].set(jnp.nan), status=jnp.asarray(int(Status.MAX_STEPS)))
    assert facts(short)["reached"] == "1" and facts(short)["value"].endswith(f", then {float(path.value[1]):.6g}")
    assert "Stopped at max_steps before the end" in str(short)
    nowhere = ufm.flow(PROBLEM, jax.tree.map(lambda x: jnp.nan * x, START), [0.0, 1.0, 5.0])
    assert facts(nowhere)["reached"] == "NaN" and "NON_FINITE" in str(nowhere)
    run = ufm.descend(PROBLEM, START, 40, optax.sgd(1e4), every=10)
    assert facts(run)["steps"] == "0" and "a smaller step is needed" in str(run)


def test_values_under_jit_and_vmap_print_as_traced(values):
    printed = {}

    def look(value):
        printed.update({type(x).__name__: (str(x), x._repr_html_()) for x in value})
        return 0

    traced = [values[name] for name in ("Problem", "Prediction", "Solution", "Certificate", "Trajectory", "Descent", "Minimum")]
    jax.jit(look)(traced)
    assert len(printed) == 7 and all("traced" in text and "traced" in html for text, html in printed.values())
    printed.clear()
    jax.vmap(look)(jax.tree.map(lambda x: jnp.stack([x, x]), traced))
    assert len(printed) == 7 and all("traced" in text for text, _ in printed.values())
    assert "traced" in str(jax.eval_shape(lambda p: ufm.solve(p, KEY), PROBLEM))
    jax.jit(lambda status: printed.update(status=str(explain(status))) or status)(jnp.array([0, 1]))
    assert "traced" in printed["status"]


def test_stacked_values_give_lanes_and_ranges(values):
    problems = jax.vmap(lambda x: PROBLEM.replace(l2_H=x))(jnp.array([1e-3, 1e-2, 5e-2]))
    card = explain(problems)
    numbers = {fact.name: fact.value for fact in card.facts}
    assert card.title == "Problem: mse on 3 classes, 1 linear layer, 3 lanes"
    assert numbers["l2_H"] == "0.001 to 0.05" and numbers["l2_W"] == "0.01" and numbers["classes K"] == "3"
    assert "balanced, 2 samples each" in str(problems) and "mse-balanced-deep" in card.verdict
    solutions = jax.tree.map(lambda x: jnp.stack([x, x, x]), values["Solution"])
    solutions = solutions._replace(status=jnp.array([0, 3, 0]), value=solutions.value.at[1].set(jnp.nan))
    assert facts(solutions)["starts"] == "0 to 1 of 1"
    text = str(solutions)
    assert "2 CONVERGED, 1 NON_FINITE" in text and "(1 of 3 not finite)" in text
    assert "1 of 3 lanes (1): infinite" in " ".join(text.split())
    paths = jax.tree.map(lambda x: jnp.stack([x, x, x]), values["Trajectory"])
    paths = paths._replace(value=paths.value.at[0, 1:].set(jnp.nan).at[1].set(jnp.nan), status=jnp.array([1, 3, 6]))
    assert explain(paths).title.endswith("3 lanes") and "1 MAX_STEPS, 1 NON_FINITE, 1 COMPLETED" in str(paths)
    assert facts(paths)["reached"] == "0 to 5 (1 of 3 not finite)"


def test_partly_stacked_problems_are_described_by_their_first_lane():
    stacked = jax.tree.map(lambda x: x, PROBLEM).replace(l2_H=1e-2)
    stacked = ufm.Problem(**{**vars(stacked), "l2_H": jnp.array([1e-2, 2e-2])})
    assert explain(stacked).title.endswith("2 lanes") and facts(stacked)["l2_H"] == "0.01 to 0.02"


def test_there_is_one_enumeration_of_how_things_end_and_each_of_its_members_is_explained():
    modules = [importlib.import_module(m.name) for m in pkgutil.walk_packages(ufm.__path__, "ufm.") if "__main__" not in m.name]
    kinds = {kind for m in modules for kind in vars(m).values() if isinstance(kind, type) and issubclass(kind, IntEnum)}
    assert {kind for kind in kinds if kind is not IntEnum and hasattr(kind, "text")} == {Status} and ufm.Status is Status
    assert [int(s) for s in Status] == list(range(len(Status))) and len({s.text for s in Status}) == len(Status)
    assert (Status.CONVERGED, Status.MAX_STEPS, Status.STALLED, Status.NON_FINITE) == (0, 1, 2, 3)
    for status in Status:
        text = str(explain(status)).replace("\n ", "")
        assert f"Status.{status.name}" in text and " ".join(status.text.split()[1:3]) in text
    good = explain(np.array([Status.COMPLETED, Status.CONVERGED, Status.DIVERGED])).verdict
    assert "1 of 3 lanes: completed" in good and "1 of 3 lanes (2): diverged" in good


def test_arrays_of_statuses_are_counted_with_their_places():
    card = explain(jnp.array([[0, 0, 2], [0, 0, 1]]))
    assert card.title == "Status, 2 x 3 lanes" and card.facts[0].value == "4 CONVERGED, 1 MAX_STEPS, 1 STALLED"
    assert "(0, 2)): stalled" in card.verdict and "((1, 2)): stopped" in card.verdict and "allow more steps" in card.verdict
    many = explain(np.ones(20, int)).verdict
    assert "20 of 20 lanes (0, 1, 2, 3, 4 and 15 more): stopped" in many
    assert "COMPLETED" in str(explain(np.int64(6))) and "Infinite or NaN at the start" in str(explain(3))
    assert explain(np.zeros(0, int)).verdict == "No lanes."


@pytest.mark.parametrize("wrong", [np.array([0, 19]), -1, np.array([0.0, 1.0])])
def test_numbers_that_are_no_status_are_refused(wrong):
    with pytest.raises(ValueError, match=r"x must be integers, each a ufm\.Status \(0 to 18\)"):
        explain(wrong)


@pytest.mark.parametrize("wrong", [None, True, 1.5, {"status": 0}, [0, 1], object(), START])
def test_other_values_are_refused_with_what_is_accepted(wrong):
    accepted = "x must be a status, an integer array of them, a verdict, a theorem's id, a dataset .* Counterexample, .* got"
    with pytest.raises(ValueError, match=accepted):
        explain(wrong)


def test_verdicts_and_theorems_are_explained_and_other_words_are_refused():
    assert set(VERDICTS) >= {*STATUSES, "fails", "optimal", "best-known"}
    for word, meaning in VERDICTS.items():
        assert meaning.split()[-1] in str(explain(word)).replace("\n ", "")
    refuted = [theorem.id for theorem in ufm.catalogue().values() if theorem.status == "refuted"]
    assert f"{len(refuted)} of {len(ufm.catalogue())}" in str(explain("refuted")) and refuted[0] in str(explain("refuted"))
    theorem = ufm.catalogue()["mse-imbalanced-deep"]
    assert str(explain(theorem.id)) == str(theorem) and explain(theorem.id).source == theorem.source
    with pytest.raises(ValueError, match=r"x must be a verdict \(holds, .*\) or a theorem's id, such as 'mse-balanced-deep'"):
        explain("mse-balancd-deep")


def test_theorems_of_every_kind_have_a_card():
    for theorem in list(ufm.catalogue().values())[::9]:
        card = describe(theorem)
        assert card.source == theorem.source and card.verdict.lower().startswith(theorem.status)
        assert {"claim", "code"} <= {fact.name for fact in card.facts}


def test_an_identification_tells_agreement_from_speaking_of(values):
    found = values["Identification"]
    assert "predicted by: mse-balanced-deep (holds)" in str(found) and "symmetry: S_3 (order 6)" in str(found)
    assert "as mse-balanced-deep says (holds" in explain(found).verdict
    assert "claims of it" in facts(ufm.identify(np.eye(3))) and "alignment" not in facts(ufm.identify(np.eye(3)))
    astray = ufm.identify(PROBLEM, START)
    assert "at odds with: mse-balanced-deep" in str(astray) and "place the minimum elsewhere" in explain(astray).verdict


def test_a_report_counts_its_evidence_and_names_what_fails():
    theorem = ufm.catalogue()["mse-balanced-deep"]
    checks = (Check("agreement", "value", 1e-12, 1e-9), Check("certificate", "gap", 1.0, 1e-7))
    environment = {"ufm": "0", "canary": "sings"}
    report = Report((Entry(theorem, (CaseResult("one <case>", checks, 0.1),)),), environment, 1.0)
    card = explain(report)
    assert "NOT every verdict equals its status" in card.verdict and "[one <case>]: gap 1.00e+00" in card.verdict
    assert facts(report)["agreement"] == "in 1 of 1 entries" and "above its tolerance: mse-balanced-deep" in str(card)
    assert "with every check within" in card.facts[0].meaning and card.source == theorem.source
    page = Page(report._repr_html_())
    assert page.rows[1][:3] == ["mse-balanced-deep", "holds", "fails"] and page.paragraphs[-1] == f"Sources: {theorem.source}"
    assert "font-weight:bold" in report._repr_html_().split("<tbody>")[1] and "color" not in report._repr_html_()


def test_a_dataset_is_known_by_its_statuses():
    xarray = pytest.importorskip("xarray")
    status = np.array([[0, 0, 1], [0, 3, 0]])
    value = np.where(status == 3, np.nan, 0.25)
    variables = {"status": (("l2_H", "loss"), status), "value": (("l2_H", "loss"), value, {"long_name": "objective"})}
    dataset = xarray.Dataset(variables, {"l2_H": [0.1, 0.2], "loss": ["ce", "mse", "focal"]}, {"references": "A 2020\nB 2021"})
    card = explain(dataset)
    values = {fact.name: fact.value for fact in card.facts}
    assert card.title == "Sweep, 2 x 3 lanes" and card.source == "A 2020; B 2021"
    assert values["l2_H"] == "0.1 to 0.2" and values["loss"] == "ce, mse, focal" and values["value"] == "0.25 (1 of 6 not finite)"
    assert values["status"] == "4 CONVERGED, 1 MAX_STEPS, 1 NON_FINITE"
    assert "1 of 6 lanes (l2_H=0.1 loss=focal): stopped" in card.verdict and "(l2_H=0.2 loss=mse): infinite or" in card.verdict
    flags = {"flag_values": [0, 1, 3], "flag_meanings": "converged max_steps lost_in_space"}
    dataset["status"].attrs.update(flags)
    text = str(explain(dataset)).replace("\n ", "")
    assert "1 lost_in_space" in text and "lost in space" in text and "allow more steps" in text


def test_a_sweep_of_ufm_is_explained():
    pytest.importorskip("xarray")
    problem = ufm.Problem.imbalanced((4, 3, 1), 4, l2_W=1e-2, l2_H=1e-2)
    grid = ufm.sweep("closed_form", problem, {"l2_H": [1e-2, 10.0], "loss": ["mse", "ce"]})
    card = explain(grid)
    assert facts(grid)["status"] == "2 converged, 2 refused" and facts(grid)["problem"] == repr(problem)
    assert card.verdict.startswith("2 of 4 lanes: ended well. 2 of 4 lanes (l2_H=0.01 loss=ce, l2_H=10 loss=ce): refused")
    assert card.source.startswith("mse-imbalanced-deep: ")


def test_numbers_are_shown_as_a_reader_would_write_them():
    assert [shown(x) for x in (3, True, np.nan, -np.inf, 1 / 3)] == ["3", "yes", "NaN", "-infinity", "0.333333"]
    assert shown(np.float32(0.1), 10) == "0.1" and shown(jnp.bfloat16(0.1), 10) == "0.1"
    assert shown(np.array([1, 2, 2])) == "1 to 2" and shown(np.array([])) == "none"
    assert shown(np.array([np.nan, np.inf])) == "no finite number in 2" and shown(np.array([True, False])) == "1 of 2"


def test_a_long_value_and_a_card_without_facts_are_still_laid_out():
    card = Card("Title", (Fact("name", "word " * 60, "meaning"), Fact("n", "1", "long " * 40)), "Verdict.")
    assert max(map(len, card.text().splitlines())) <= 110 and "Source" not in card.text()
    assert Card("Title", (), "Verdict.").text() == "Title\nVerdict." and "<table>" not in Card("Title", (), "Verdict.").html()


def test_explaining_a_status_needs_no_enumeration():
    assert explain(Status.STALLED).facts[0].value == "2"
