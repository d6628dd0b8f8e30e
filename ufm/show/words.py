"""Words of ufm explained: verdicts, labels of predictions, and ids of theorems."""

import difflib

from ufm.base.card import Card, Fact, listed, sentence
from ufm.base.checks import refuse
from ufm.base.describe import describe
from ufm.theory.cards import LABELS
from ufm.theory.registry import catalogue
from ufm.theory.theorem import STATUSES
from ufm.verification.report import VERDICTS as MEASURED

VERDICTS = MEASURED | {word: text for word, text in LABELS.items() if word not in MEASURED}
_WHERE = {"fails": "verdict of a report"} | dict.fromkeys(VERDICTS.keys() - MEASURED.keys(), "label of a prediction")


@describe.register
def word_card(word: str) -> Card:
    """A verdict, or a theorem by its id.

    Raises:
      ValueError: for any other word, with the nearest ones.
    """
    if word in VERDICTS:
        ids = [theorem.id for theorem in catalogue().values() if theorem.status == word]
        facts = [Fact("is a", _WHERE.get(word, "status of a theorem, verdict of a report"))]
        if word in STATUSES:
            facts.append(Fact("before that", "as a status", STATUSES[word]))
        if ids:
            facts.append(Fact("theorems", f"{len(ids)} of {len(catalogue())}", listed(ids)))
        return Card(f"Verdict {word!r}", tuple(facts), sentence(VERDICTS[word]))
    if word in catalogue():
        return describe(catalogue()[word])
    near = difflib.get_close_matches(word, [*VERDICTS, *catalogue()], n=3, cutoff=0.3) or list(catalogue())[:3]
    refuse("x", word, f"a verdict ({', '.join(VERDICTS)}) or a theorem's id, such as {', '.join(map(repr, near))}")
