"""Reports in words: how many entries stand, and what failed."""

from ufm.base.card import Card, Fact, cited, listed, sentence
from ufm.base.describe import describe
from ufm.verification.report import KINDS, Report


@describe.register
def report_card(report: Report) -> Card:
    """How many entries stand, the worst number of each kind of evidence, and what failed."""
    facts = []
    for kind in KINDS:
        checks = [(entry.worst(kind), entry) for entry in report.entries]
        counted = [(check, entry) for check, entry in checks if check is not None]
        failed = [entry.theorem.id for check, entry in counted if not check.passed]
        meaning = f"with a check above its tolerance: {listed(failed)}" if failed else "with every check within its tolerance"
        facts.append(Fact(kind, f"in {len(counted)} of {len(checks)} entries", meaning if counted else ""))
    facts += [Fact(name, value) for name, value in report.environment.items()]
    verdict = " ".join(map(sentence, [report.summary, *(line for entry in report.entries for line in entry.failures)]))
    return Card(
        "Report: closed forms against measured minima", tuple(facts), verdict, cited(e.theorem.source for e in report.entries)
    )
