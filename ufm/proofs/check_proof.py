"""Check proofs of `ufm` by the standard library alone: `python -S check_proof.py FILE ...` exits with 0 if all are verified.

A file is JSON of strings, lists and objects: {"format": "ufm-proof/1", "kind", "statement", ...}. It is verified where every step
is computed here again, in fractions and in intervals of integers; what it says of itself is not read. The folder `checker` beside
this file has the arithmetic (numbers.py), the kinds "sandwich" and "profile", bounds of a global minimum (problem.py, minimum.py),
and "root", "refutation" and "identity", facts of explicit numbers (facts.py). Other kinds, such as "critical point", are refused:
not covered.
"""

import json
import sys

if __package__:
    from .checker.facts import check_facts
    from .checker.minimum import check_minimum
    from .checker.numbers import BITS, Refused, need
else:  # run as a file
    from checker.facts import check_facts  # type: ignore[no-redef]
    from checker.minimum import check_minimum  # type: ignore[no-redef]
    from checker.numbers import BITS, Refused, need  # type: ignore[no-redef]

__all__ = ["Refused", "check"]
CHECKS = {"sandwich": check_minimum, "profile": check_minimum} | dict.fromkeys(("root", "refutation", "identity"), check_facts)

def check(document):
    """The statement that a proof proves, from what was recomputed.

    Args:
      document: a dict, or the path of a file.

    Raises:
      Refused: (a ValueError) naming the first step that fails.
    """
    token = BITS.set(320)
    try:
        if not isinstance(document, dict):
            with open(document, encoding="utf-8") as file:
                hooks: dict = dict.fromkeys(("parse_int", "parse_float", "parse_constant"), _number)
                document = json.load(file, object_pairs_hook=_unique, **hooks)
        kind = document["kind"]
        need(document["format"] == "ufm-proof/1" and kind in CHECKS, f"one of the kinds {', '.join(CHECKS)}")
        told = ("format", "kind", "statement", "made_by", "claim")
        return CHECKS[kind](kind, {key: x for key, x in document.items() if key not in told})
    except Refused:
        raise
    except (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        raise Refused(f"a file in order: {error!r:.150}") from error
    finally:
        BITS.reset(token)

def _unique(pairs):
    need(len(dict(pairs)) == len(pairs), "no key twice")
    return dict(pairs)

def _number(text):
    raise Refused(f"numbers as strings, not {text:.40}")

def main(paths):
    """Print what each file proves, or the step at which it is refused; exit with 1 if one is."""
    refused = not paths
    for path in paths:
        try:
            print(f"{path}: verified: {check(path)}")
        except Refused as error:
            refused = print(f"{path}: REFUSED, this fails: {error}") or True
    sys.exit(int(refused))

if __name__ == "__main__":
    main(sys.argv[1:])
