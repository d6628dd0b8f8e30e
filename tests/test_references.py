"""Citations are true: every paper stands once in `references.bib`, and every text that names one names it as it stands there."""

import pathlib
import re
import unicodedata

import pytest

from ufm.base.references import Reference, keys_of, references, spelled_out
from ufm.theory.registry import catalogue

ROOT = pathlib.Path(__file__).parent.parent
BIB = (ROOT / "ufm/base/references.bib").read_text(encoding="utf-8")
TEXTS = {
    path.relative_to(ROOT): path.read_text(encoding="utf-8")
    for pattern in ("ufm/**/*.py", "benchmarks/**/*.py", "notebooks/*.py", "notebooks/*.ipynb", "*.md", ".github/*.md")
    for path in sorted(ROOT.glob(pattern))
}
ARXIV = re.compile(r"arxiv(?:[: ]|\.org/abs/| *\[?\n#? *)+(\d{4}\.\d{4,5})", re.I)
SURNAME = r"(?:(?:van|de|Ben) )?[A-Z][A-Za-zÀ-ž]*[a-zà-ž](?:-[A-Z][a-z]+)?"
# "Han, Papyan and Donoho (2020)", "Zhu et al. 2021", "Fisher, Meng, Papyan (2024": names, then a year
NAMED = re.compile(rf"\b({SURNAME}(?:(?:, and |, | and | & ){SURNAME})*)( et al\.)?(?:'s)?,? \(?((?:18|19|20)\d\d)\b")


def plain(text):
    """Without accents, spaces, case: code spells Gyorgy and Henon."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).lower()


def unwrapped(text):
    """One line, without the marks of comments and of JSON at the line ends."""
    return re.sub(r'(?:\\n",)?\s*\n\s*(?:# |")?', " ", text)


def citations(text):
    """(surnames, whether et al. follows, year) of every citation in a text."""
    for names, others, year in NAMED.findall(unwrapped(text)):
        yield tuple(plain(name) for name in re.split(r", and |, | and | & ", names)), bool(others), int(year)


def papers(names, others, year):
    """The papers that a citation can mean: all authors in their order, or the first (two) and et al."""
    found = [r for r in references().values() if r.year == year]
    lists = [(r, tuple(map(plain, r.authors))) for r in found]
    if others:
        return [r for r, authors in lists if authors[: len(names)] == names and (r.and_others or len(authors) > len(names))]
    return [r for r, authors in lists if authors == names and not r.and_others]


def test_the_parser_reads_every_entry_of_the_file():
    assert list(references()) == re.findall(r"^@\w+\{(\w+),$", BIB, re.M) == sorted(references())
    assert "\\" not in BIB and BIB.count("{") == BIB.count("}")
    for reference in references().values():
        assert reference.authors and 1800 < reference.year < 2030
        assert reference.title or "not looked up" in reference.note, reference.key
        first = re.sub("[^a-z]", "", plain(reference.authors[0]))
        assert re.fullmatch(rf"{first}{reference.year}[a-z]*", reference.key)


def test_no_paper_stands_twice():
    for number in ("eprint", "title"):
        known = [plain(getattr(r, number)) for r in references().values() if getattr(r, number)]
        assert len(set(known)) == len(known)


def test_a_citation_reads_authors_year_and_number():
    assert spelled_out("[dang2023], read twice; [nobody1900]") == (
        "Dang, Tran, Osher, Tran-The, Ho, Nguyen 2023, arXiv 2301.00437, read twice; [nobody1900]"
    )
    assert str(references()["guo2025"]) == "Guo, Andriopoulos, Zhao, Dong, Ling, Ross 2025, arXiv 2402.03979"
    assert str(references()["cui2024"]) == "Cui et al. 2024, arXiv 2402.17110"
    assert str(references()["chowdhery2022"]) == "Chowdhery et al. 2022, arXiv 2204.02311"
    assert references()["rankin1955"] == Reference(
        key="rankin1955",
        authors=("Rankin",),
        and_others=False,
        title="The closest packing of spherical caps in n dimensions",
        year=1955,
        venue="Proceedings of the Glasgow Mathematical Association 2, 139-144",
        eprint="",
        note="",
    )


@pytest.mark.parametrize("theorem", catalogue().values(), ids=lambda t: t.id)
def test_a_theorem_cites_papers_that_there_are_or_says_that_it_is_derived(theorem):
    keys = keys_of(theorem.origin)
    assert set(keys) <= set(references()), "unknown keys"
    assert keys or "derived" in theorem.origin
    assert not ARXIV.search(theorem.origin) and not list(citations(theorem.origin)), "papers are named by their keys"
    assert "[" not in theorem.source and all(str(references()[key]) in theorem.source for key in keys)


@pytest.mark.parametrize("path", TEXTS, ids=str)
def test_a_text_names_papers_as_they_stand_in_the_file(path):
    for names, others, year in citations(TEXTS[path]):
        assert papers(names, others, year), f"{path}: {', '.join(names)}{' et al.' * others} {year}"


@pytest.mark.parametrize("path", TEXTS, ids=str)
def test_an_arxiv_number_stands_beside_its_first_author(path):
    text = unwrapped(TEXTS[path])
    by_number = {r.eprint: r for r in references().values() if r.eprint}
    for match in ARXIV.finditer(text):
        number = match[1]
        assert number in by_number, f"{path}: arXiv {number} is not in references.bib"
        before = plain(text[max(0, match.start() - 240) : match.start()])
        assert plain(by_number[number].authors[0]) in before, f"{path}: arXiv {number} beside another author"


def test_every_paper_is_cited_somewhere():
    by_key = {key for text in TEXTS.values() for key in keys_of(text)}
    by_name = {r.key for text in TEXTS.values() for citation in citations(text) for r in papers(*citation)}
    assert not set(references()) - by_key - by_name


def test_keys_in_brackets_outside_theorems_are_known_too():
    for path, text in TEXTS.items():
        if path.suffix == ".py" and "references.py" not in path.name:
            assert set(keys_of(text)) <= set(references()), path
