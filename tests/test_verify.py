import dataclasses
import json
import math
import os
import sys

import jax
import jax.numpy as jnp
import pytest

import ufm
from ufm import cli
from ufm.base.canary import canary_error, canary_sings
from ufm.show import explain
from ufm.theory.registry import catalogue
from ufm.theory.theorem import STATUSES, Check, Theorem, agreement, lower_bound
from ufm.verification.report import CaseResult, Entry, Report, strain
from ufm.verification.worker import Worker

ENVIRONMENT = {"canary": "sings"}


def _theorem(status, predicted, evidence):
    return Theorem(
        id="a-claim",
        status=status,
        claim="It is so.",
        origin="nobody",
        predict=lambda case: jnp.asarray(predicted),
        measure=lambda case, key: jnp.asarray(1.0),
        cases=lambda: {"only": jnp.asarray(0.0)},
        evidence=evidence,
    )


@pytest.fixture
def shelf(monkeypatch):
    def put(theorem):
        monkeypatch.setattr(sys.modules["ufm.verification.run"], "select", lambda names, family: [theorem])

    return put


@pytest.mark.parametrize(
    ("status", "predicted", "evidence", "verdict"),
    [
        ("holds", 1.0, agreement(1e-9), "holds"),
        ("holds", 1.001, agreement(1e-9), "fails"),
        ("numerical", 1.0, agreement(1e-9), "numerical"),
        ("refuted", 1.5, lower_bound(1e-9), "refuted"),
        ("refuted", 0.5, lower_bound(1e-9), "fails"),
        ("refuted", math.nan, lower_bound(1e-9), "fails"),
        ("diagnostic", 2.0, agreement(math.inf), "diagnostic"),
        ("diagnostic", math.nan, agreement(math.inf), "fails"),
        ("holds", math.nan, agreement(1e-9), "fails"),
    ],
)
def test_a_verdict_follows_the_evidence_and_never_a_nan(shelf, status, predicted, evidence, verdict):
    shelf(_theorem(status, predicted, evidence))
    report = ufm.verify("a-claim")
    assert report.entries[0].verdict == verdict
    assert report.ok == (verdict == status)


def test_a_closed_form_off_by_a_thousandth_fails_its_verification(shelf):
    theorem = catalogue()["mse-balanced-deep"]

    def shifted(problem):
        prediction = theorem.predict(problem)
        return dataclasses.replace(prediction, value=prediction.value * 1.001)

    label, case = next(iter(theorem.cases().items()))
    shelf(dataclasses.replace(theorem, predict=shifted, cases=lambda: {label: case}))
    report = ufm.verify("mse-balanced-deep")
    assert not report.ok
    assert "value 9.99e-04" in report.entries[0].failures[0]


def test_an_exception_in_one_case_is_its_result_and_fails_the_entry(shelf):
    theorem = dataclasses.replace(_theorem("holds", 1.0, agreement(1e-9)), measure=lambda case, key: 1 / 0)
    shelf(theorem)
    report = ufm.verify("a-claim")
    assert not report.ok and "ZeroDivisionError" in report.entries[0].failures[0]


def test_random_cases_are_added_and_their_labels_carry_the_seed():
    report = ufm.verify("mse-tie-and-spinodal", cases=3, seed=5)
    labels = [result.label for result in report.entries[0].results]
    assert report.ok and labels[-3:] == ["random 5.0", "random 5.1", "random 5.2"]


def test_a_silent_canary_certifies_nothing(monkeypatch):
    monkeypatch.setattr(sys.modules["ufm.base.environment"], "canary_sings", lambda: False)
    report = ufm.verify("mse-tie-and-spinodal", processes=False)
    assert not report.entries and not report.ok


def test_a_report_says_under_which_flags_its_numbers_were_computed(monkeypatch):
    flags = "--xla_cpu_parallel_codegen_split_count=2 --xla_backend_optimization_level=0"
    monkeypatch.setenv("XLA_FLAGS", flags)  # too late for this process, in time for those that it starts
    assert ufm.verify("mse-tie-and-spinodal").environment["XLA_FLAGS"] == flags


GOOD, BAD = Check("agreement", "good", 1e-12, 1e-9), Check("agreement", "bad", 1e-6, 1e-9)
UNKNOWN = Check("certificate", "unknown", math.nan, 1e-9)


def _result(*checks, error=""):
    return CaseResult("a case", checks, 0.1, error)


def _entry(*results, status="holds", name="a-claim"):
    theorem = dataclasses.replace(_theorem(status, 1.0, agreement(1e-9)), id=name)
    return Entry(theorem, results)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("worse", [BAD, UNKNOWN, Check("agreement", "negative", -1.0, 1e-9)])
def test_one_bad_check_of_two_one_bad_case_of_two_and_one_bad_entry_of_two_fail(worse, first):
    def both(good, bad):
        return (bad, good) if first else (good, bad)

    case = _result(*both(GOOD, worse))
    assert not case.passed
    entry = _entry(*both(_result(GOOD), case), name="bad-claim")
    assert entry.verdict == "fails" and not entry.ok and len(entry.failures) == 1
    report = Report(both(_entry(_result(GOOD)), entry), ENVIRONMENT, 1.0)
    assert not report.ok and "NOT every verdict" in report.summary and "1 holds" in report.summary and "1 fails" in report.summary
    assert [row[2] for row in report.rows()] == list(both("holds", "fails"))
    assert report.to_json()["ok"] is False
    assert str(report).count("bad-claim [a case]") == 1


def test_reports_of_good_entries_alone_are_good():
    report = Report((_entry(_result(GOOD), _result(GOOD, GOOD)), _entry(_result(GOOD), name="another")), ENVIRONMENT, 1.0)
    assert report.ok and "2 entries, 3 cases: 2 holds" in report.summary
    assert not dataclasses.replace(report, environment={"canary": "silent"}).ok


def test_nothing_measured_is_nothing_confirmed():
    """A case without checks, an entry without cases, and a report without entries; beside good ones too."""
    assert not _result().passed and not _result().refutes and not _result().reported
    for status in ("holds", "numerical", "refuted", "diagnostic"):
        for results in ((), (_result(),)):
            entry = _entry(*results, status=status)
            assert entry.verdict == "fails" and len(entry.failures) == 1
            assert not Report((_entry(_result(GOOD)), entry), ENVIRONMENT, 1.0).ok
    assert not _entry(_result(GOOD), _result()).ok
    assert not Report((), ENVIRONMENT, 1.0).ok


def test_an_error_in_a_case_fails_it_whatever_its_checks():
    result = _result(GOOD, error="ValueError: no")
    assert not result.passed and not result.refutes and not result.reported
    assert not _entry(_result(BAD), _result(BAD, error="ValueError: no"), status="refuted").ok


def test_the_worst_check_is_the_one_that_is_unknown():
    assert strain(UNKNOWN) == math.inf == strain(Check("agreement", "exact", 1e-300, 0.0))
    assert strain(GOOD) == pytest.approx(1e-3) and strain(Check("agreement", "exact", 0.0, 0.0)) == 0
    certain = Check("certificate", "certain", 5.0, 1.0)
    assert _entry(_result(certain, UNKNOWN), _result(certain)).worst("certificate") is UNKNOWN
    assert _entry(_result(GOOD), _result(BAD), _result(GOOD)).worst("agreement") is BAD


CLAIM = Check("agreement", "the claim's value", 1e-3, 1e-9, refutes=True)


@pytest.mark.parametrize(
    ("checks", "refutes"),
    [
        ((CLAIM, GOOD), True),
        ((CLAIM,), True),
        ((BAD,), True),
        ((BAD, GOOD), True),
        ((CLAIM, BAD), False),  # another claim than the one that was published
        ((GOOD, CLAIM._replace(error=1e-12)), False),  # the claim holds
        ((BAD, CLAIM._replace(error=1e-12)), False),
        ((CLAIM._replace(error=math.inf), GOOD), False),
        ((CLAIM, CLAIM._replace(error=math.inf)), False),
        ((CLAIM, UNKNOWN), False),
        ((CLAIM._replace(error=-1.0), GOOD), False),
    ],
)
def test_a_claim_is_refuted_by_its_own_checks_and_pinned_down_by_all_others(checks, refutes):
    assert _result(*checks).refutes == refutes
    entry = _entry(_result(*checks), status="refuted")
    assert (entry.verdict == "refuted") == refutes == (not entry.failures)
    assert not _entry(_result(CLAIM, GOOD), _result(GOOD), status="refuted").ok  # every case refutes


def test_failures_name_the_checks_that_are_to_blame_and_no_others():
    sentence = ["a-claim [a case]: bad 1.00e-06 (allowed 1e-09)"]
    assert _entry(_result(GOOD, BAD)).failures == sentence
    assert _entry(_result(CLAIM, GOOD, BAD), status="refuted").failures == sentence


def test_a_diagnostic_is_reported_where_every_number_of_every_case_is_known():
    assert _result(GOOD, BAD).reported and not _result(GOOD, UNKNOWN).reported
    assert _entry(_result(GOOD), _result(BAD), status="diagnostic").ok
    assert not _entry(_result(GOOD), _result(UNKNOWN), status="diagnostic").ok
    assert _entry(_result(GOOD), _result(GOOD)).seconds == pytest.approx(0.2)


def test_all_cases_and_all_draws_are_measured(shelf):
    cases = {f"case {i}": jnp.asarray(float(i)) for i in range(4)}
    theorem = dataclasses.replace(
        _theorem("holds", 1.0, agreement(1e-9)), cases=lambda: cases, draw=lambda rng: jnp.asarray(rng.normal())
    )
    shelf(theorem)
    labels = [result.label for result in ufm.verify("a-claim", cases=3, seed=7).entries[0].results]
    assert labels == [*cases, "random 7.0", "random 7.1", "random 7.2"]
    for i in range(4):
        broken = dataclasses.replace(theorem, measure=lambda case, key, i=i: jnp.where(case == i, 2.0, 1.0))
        shelf(broken)
        assert [r.passed for r in ufm.verify("a-claim").entries[0].results] == [j != i for j in range(4)]


def test_draws_and_starts_depend_on_seed_case_and_theorem_and_on_nothing_else(shelf):
    def seen(name, seed):
        found = []
        shelf(
            dataclasses.replace(
                _theorem("holds", 1.0, lambda case, predicted, measured: [GOOD]),
                id=name,
                cases=lambda: {"one": jnp.asarray(0.0), "two": jnp.asarray(0.0)},
                draw=lambda rng: jnp.asarray(rng.normal()),
                measure=lambda case, key: found.append((float(case), *map(int, jax.random.key_data(key)))),
            )
        )
        ufm.verify(name, cases=2, seed=seed)
        return found

    first, again, reseeded, renamed = seen("a", 0), seen("a", 0), seen("a", 1), seen("b", 0)
    assert first == again
    everything = [*first, *reseeded, *renamed]
    assert len({tuple(key) for _, *key in everything}) == len(everything)
    drawn = [case for run in (first, reseeded, renamed) for case, *_ in run[2:]]
    assert len(set(drawn)) == len(drawn)


def test_everything_is_measured_in_float64_whatever_the_default(shelf):
    dtypes = []

    def cases():
        return {"one": jnp.asarray(1 / 3), "two": jnp.ones(2) / 3}

    def note(case, predicted, measured):
        dtypes.extend([case.dtype, predicted.dtype, measured.dtype])
        return agreement(1e-12)(case, predicted, measured)

    def predict(case):
        return 3 * jnp.asarray(case)

    theorem = dataclasses.replace(_theorem("holds", 1.0, note), cases=cases, predict=predict, measure=lambda case, key: 3 * case)
    shelf(dataclasses.replace(theorem, draw=lambda rng: jnp.asarray(rng.normal())))
    with jax.enable_x64(False):
        assert ufm.verify("a-claim", cases=1).ok and jnp.asarray(1.0).dtype == jnp.float32
    assert len(dtypes) == 9 and set(dtypes) == {jnp.dtype("float64")}


@pytest.mark.parametrize("part", ["cases", "draw", "predict", "measure", "evidence"])
def test_what_breaks_in_a_theorem_is_a_result_with_its_sentence(part):
    def breaks(*arguments):
        raise ValueError("this part is broken")

    theorem = dataclasses.replace(_theorem("holds", 1.0, agreement(1e-9)), draw=lambda rng: jnp.asarray(rng.normal()))
    report = ufm.verify(dataclasses.replace(theorem, **{part: breaks}), "mse-tie-and-spinodal", cases=1)
    assert [entry.verdict for entry in report.entries] == ["fails", "holds"]
    assert "ValueError: this part is broken" in report.entries[0].failures[0]


def test_a_theorem_of_ones_own_is_verified_as_it_is_alone_and_beside_known_ones():
    mine = _theorem("holds", 1.0, agreement(1e-9))
    wrong = dataclasses.replace(mine, id="a-wrong-claim", predict=lambda case: jnp.asarray(1.001))
    report = ufm.verify(mine, "mse-tie-and-spinodal", wrong, processes=True)
    assert [(entry.theorem.id, entry.verdict) for entry in report.entries] == [
        ("a-claim", "holds"), ("mse-tie-and-spinodal", "holds"), ("a-wrong-claim", "fails"),
    ]  # fmt: skip
    assert "nobody" in report._repr_html_()
    broken = dataclasses.replace(catalogue()["mse-tie-and-spinodal"], predict=lambda case: {"t": case.beta, "value": case.beta})
    assert not ufm.verify(broken, processes=True).ok  # its own functions, not those of the catalogue's theorem of that id
    with pytest.raises(ValueError, match="theorem must be one theorem: two that differ have this id, got 'a-claim'"):
        ufm.verify(mine, dataclasses.replace(mine, claim="Another."))
    with pytest.raises(ValueError, match="theorem must be the id of a theorem of the catalogue, or a ufm.Theorem, got 3"):
        ufm.verify(3)
    with pytest.raises(ValueError, match="theorem must be of the family mse: .*got .'a-claim'"):
        ufm.verify(mine, family="mse")
    assert ufm.verify(mine, "mse-tie-and-spinodal", family="mse").entries[0].theorem.id == "mse-tie-and-spinodal"


def test_a_status_is_worded_as_declared_and_a_verdict_as_measured():
    mine = dataclasses.replace(_theorem("holds", 1.0, agreement(1e-9)), claim="1 = 2.")
    for shown in (str(mine), mine._repr_html_(), *(str(theorem) for theorem in list(catalogue().values())[::40])):
        assert "declared" in shown and "confirmed" not in shown and "measurement confirms" not in shown
    for word in STATUSES:
        assert "declared" in STATUSES[word] and STATUSES[word] in " ".join(str(explain(word)).split())
    assert "confirmed by every measurement of the report" in " ".join(str(explain("holds")).split())
    with pytest.raises(ValueError, match="status must be one of 'holds', 'numerical', 'refuted', 'diagnostic', got 'proved'"):
        dataclasses.replace(mine, status="proved")


def test_a_theorem_prints_its_cases_whatever_the_callers_default():
    with jax.enable_x64(False):
        assert "cases" in str(catalogue()["ce-deep-best-known"])


def test_the_canary_sings_here():
    """Fails on jaxlib 0.10.2 with an error of 8e-3: install another jaxlib (see ufm.base.canary)."""
    assert canary_sings(), canary_error()


def test_a_report_prints_shows_and_serialises_the_same_verdicts():
    theorem = _theorem("holds", 1.0, agreement(1e-9))
    result = CaseResult("one <case>", (Check("agreement", "value", 2e-3, 1e-9),), 0.1)
    report = Report((Entry(theorem, (result,)),), ENVIRONMENT, 1.0)
    assert "fails" in str(report) and "a-claim" in str(report)
    assert "&lt;case&gt;" in report._repr_html_() and "<table>" in report._repr_html_()
    assert json.loads(json.dumps(report.to_json()))["entries"][0]["verdict"] == "fails"


def test_the_worst_check_of_an_exact_count_can_be_printed():
    checks = (Check("agreement", "count", 0.0, 0.0), Check("agreement", "value", 1e-12, 1e-9))
    entry = Entry(_theorem("holds", 1.0, agreement(1e-9)), (CaseResult("one", checks, 0.1),))
    assert entry.worst("agreement").name == "value" and entry.ok
    missed = CaseResult("two", (Check("agreement", "count", 1.0, 0.0),), 0.1)
    assert Entry(entry.theorem, (missed,)).worst("agreement").name == "count"


def test_the_command_line_verifies_and_writes_json(tmp_path, capsys):
    target = tmp_path / "report.json"
    assert cli.main(["verify", "mse-tie-and-spinodal", "mse-largest-root", "--json", str(target)]) == 0
    printed = capsys.readouterr().out
    assert "every verdict equals its status" in printed and "refuted" in printed
    assert [entry["verdict"] for entry in json.loads(target.read_text())["entries"]] == ["holds", "refuted"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["verify", "no-such-theorem"], "theorem must be a theorem's id"),
        (["verify", "--family", "nothing"], "family must be one of"),
        (["verify", "--cases", "-1"], "cases must be a whole number of at least 0 and at most 1000000, got -1"),
        (["verify", "--json", "no/such/folder/x.json"], "--json must name a file that can be written"),
        (["theorems", "nothing"], "theorem must be a theorem's id"),
    ],
)
def test_the_command_line_refuses_bad_input_in_one_line_and_exits_with_2(arguments, sentence, capsys):
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1


def test_the_command_line_lists_and_explains_the_catalogue(capsys):
    assert cli.main(["theorems"]) == 0
    assert "mse-balanced-deep" in capsys.readouterr().out
    assert cli.main(["theorems", "mse-largest-root"]) == 0
    assert "Refuted:" in capsys.readouterr().out


def test_a_worker_answers_passes_on_what_is_raised_and_says_how_it_died(capfd):
    worker = Worker()
    try:
        assert worker(divmod, 7, 3) == (2, 1)
        assert worker(print, "out of the way of results") is None
        with pytest.raises(ZeroDivisionError):
            worker(divmod, 1, 0)
        with pytest.raises(RuntimeError, match=r"ended with code 3 in _exit\(3,\)"):
            worker(os._exit, 3)
    finally:
        worker.end()
    assert capfd.readouterr() == ("", "out of the way of results\n")


def test_the_cases_of_one_theorem_are_shared_out_and_come_back_in_their_order():
    names = [(r.label, r.checks) for r in ufm.verify("mse-tie-and-spinodal", cases=3).entries[0].results]
    assert names == [(r.label, r.checks) for r in ufm.verify("mse-tie-and-spinodal", cases=3, processes=False).entries[0].results]
    assert [label for label, _ in names] == [*catalogue()["mse-tie-and-spinodal"].cases(), "random 0.0", "random 0.1", "random 0.2"]
