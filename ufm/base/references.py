"""The papers that ufm cites, each looked up once: `references.bib`, read at first use.

A text cites by keys in brackets, and is read with them spelled out:

    derived; losses: [yang2024]    ->    derived; losses: Yang, Zong, Huang, Feng, An 2024, arXiv 2411.08937
"""

import importlib.resources
import re
from functools import cache
from typing import NamedTuple

_ENTRY = re.compile(r"@\w+\{(\w+),\n(.*?)\}\n(?=\n|\Z)", re.S)
_FIELD = re.compile(r"(\w+) = \{((?:[^{}]|\{[^{}]*\})*)\}")
_CITED = re.compile(r"\[([a-z]+[12]\d{3}[a-z]*)\]")
_MOST_AUTHORS = 7


class Reference(NamedTuple):
    """One paper.

    authors: surnames, in the paper's order. and_others: whether there are more of them. title: "" where it was not looked up.
    venue: journal or conference, or "". eprint: its arXiv number, or "". note: what was not looked up, or "".
    """

    key: str
    authors: tuple[str, ...]
    and_others: bool
    title: str
    year: int
    venue: str
    eprint: str
    note: str

    def __str__(self) -> str:
        """Authors, year, and the arXiv number; the title of a paper without one."""
        many = self.and_others or len(self.authors) > _MOST_AUTHORS
        names = f"{self.authors[0]} et al." if many else ", ".join(self.authors)
        where = f"arXiv {self.eprint}" if self.eprint else self.title
        return f"{names} {self.year}" + (f", {where}" if where else "")


@cache
def references() -> dict[str, Reference]:
    """All papers by key."""
    text = (importlib.resources.files("ufm.base") / "references.bib").read_text(encoding="utf-8")
    return {key: _reference(key, dict(_FIELD.findall(body))) for key, body in _ENTRY.findall(text)}


def keys_of(text: str) -> tuple[str, ...]:
    """The keys that a text cites, in its order, whether there is such a paper or not."""
    return tuple(_CITED.findall(text))


def spelled_out(text: str) -> str:
    """A text with its citations in words; a key that is not ours (in a theorem of the user's own) stays as it is.

    Example:
      >>> spelled_out("bounds of [welch1974]; derived")
      'bounds of Welch 1974, Lower bounds on the maximum cross correlation of signals; derived'
    """
    return _CITED.sub(lambda match: str(references().get(match[1], match[0])), text)


def _reference(key: str, fields: dict[str, str]) -> Reference:
    plain = {name: " ".join(re.sub("[{}]", "", value).split()) for name, value in fields.items()}
    names = [name.split(",")[0] for name in plain["author"].split(" and ")]
    venue = next((plain[name] for name in ("journal", "booktitle", "school", "institution") if name in plain), "")
    return Reference(
        key=key,
        authors=tuple(name for name in names if name != "others"),
        and_others="others" in names,
        title=plain.get("title", ""),
        year=int(plain["year"]),
        venue=venue,
        eprint=plain.get("eprint", ""),
        note=plain.get("note", ""),
    )
