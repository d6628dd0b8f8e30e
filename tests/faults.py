"""Where ufm can be made wrong in one place: faults of numbers, operators, comparisons and choices, read off the syntax tree.

Kinds. evidence: the kits, the reports, and functions of an entry named `*evidence*`. closed-form: `predict*` and what they call in
their own file of ufm/theory. core: what everything stands on (`CORE`). A fault changes one number, operator, comparison, choice or
condition, drops one term or check, or lets a function of the evidence return at once. Not tried, since nothing follows from them:
annotations, docstrings and messages; `__repr__`, `__str__` and what else prints; clocks; integers of 16 and more (how often a loop
runs, how fine a grid is); numbers below 1e-6 moved by a thousandth (they are allowances: times 1000 is tried in evidence and core);
`<` for `<=`; allowances of single entries, which any honest answer meets.
"""

import ast
import re
from pathlib import Path
from typing import NamedTuple

KITS = (
    *(f"ufm/theory/statements/{kind}.py" for kind in ("minima", "trajectories", "spectra", "bounds", "identities", "refutations")),
    *(f"ufm/theory/{noun}.py" for noun in ("theorem", "invariants", "consistency")),
    *("ufm/verification/report.py", "ufm/verification/run.py"),
)
CORE = "ufm/theory/prediction.py"
CORE_ROOMS = "ufm/problem ufm/equivalent ufm/losses ufm/duality ufm/search"
KINDS = ("evidence", "closed-form", "core")
PRINTED = re.compile(r"__repr__|__str__|__rich__|_repr_html_|rows|summary|_where|to_json|_cell|_plain|progress|describe")
SWAPS = {ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"), ast.Pow: ("**", "*")}
FLIPS = {ast.Lt: ("<", ">="), ast.LtE: ("<=", ">"), ast.Gt: (">", "<="), ast.GtE: (">=", "<"), ast.Eq: ("==", "!="),
         ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"), ast.In: ("in", "not in"),
         ast.NotIn: ("not in", "in"), ast.And: ("and", "or"), ast.Or: ("or", "and")}  # fmt: skip
NAMES = {"min": "max", "minimum": "maximum", "any": "all", "argmin": "argmax", "log1p": "log", "expm1": "exp", "sum": "max"}
NAMES |= {new: old for old, new in NAMES.items() if old != "sum"}
CONSTANTS = {"bool": ("True", "False"), "float": ("0.0",), "list[Check]": ("[]",), "int": ("0",)}


class Mutant(NamedTuple):
    """One fault: the text between two offsets of a file and what stands there instead."""

    kind: str
    path: str
    line: int
    start: int
    end: int
    text: str
    what: str

    @property
    def name(self) -> str:
        """Where and what, the same in every run over the same source."""
        return f"{self.path}:{self.line} {self.what} [{self.start}:{self.end}] -> {self.text!r}"

    def applied(self, source: str) -> str:
        """The source with the fault."""
        return source[: self.start] + self.text + source[self.end :]

    def lines(self, source: str) -> tuple[str, str]:
        """The line before and after."""
        return tuple(s.splitlines()[self.line - 1].strip() for s in (source, self.applied(source)))


class Faults(ast.NodeVisitor):
    """All faults of the functions of one file that `wanted` names (of the whole file for None)."""

    def __init__(self, kind: str, path: str, source: str, wanted: set[str] | None):
        self.kind, self.path, self.source, self.wanted = kind, path, source, wanted
        self.inside, self.found = wanted is None, []
        lengths = [len(line) for line in source.splitlines(keepends=True)]  # the source is ASCII: columns are characters
        self.starts = [sum(lengths[:i]) for i in range(len(lengths))]
        self.visit(ast.parse(source))

    def span(self, node) -> tuple[int, int]:
        return self.starts[node.lineno - 1] + node.col_offset, self.starts[node.end_lineno - 1] + node.end_col_offset

    def of(self, node) -> str:
        start, end = self.span(node)
        return self.source[start:end]

    def add(self, start: int, end: int, text: str, what: str):
        line = self.source.count("\n", 0, start) + 1
        if self.inside and "perf_counter" not in self.source.splitlines()[line - 1]:
            self.found.append(Mutant(self.kind, self.path, line, start, end, text, what))

    def visit_FunctionDef(self, node):
        if PRINTED.fullmatch(node.name):
            return
        was, self.inside = self.inside, self.inside or node.name in self.wanted
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        if self.kind == "evidence" and node.returns is not None and body:
            start, indent = self.span(body[0])[0], " " * body[0].col_offset
            for constant in CONSTANTS.get(self.of(node.returns), ()):
                self.add(start, start, f"return {constant}\n{indent}", "returns at once")
        for child in body:
            self.visit(child)
        self.inside = was

    def visit_ClassDef(self, node):
        for child in node.body:
            if isinstance(child, ast.FunctionDef | ast.Assign):
                self.visit(child)

    def visit_AnnAssign(self, node):
        if node.value is not None:
            self.visit(node.value)

    def visit_Raise(self, node):
        pass

    visit_JoinedStr = visit_Import = visit_ImportFrom = visit_Raise

    def visit_Constant(self, node):
        x, (start, end) = node.value, self.span(node)
        if isinstance(x, bool):
            self.add(start, end, str(not x), "truth value")
        elif isinstance(x, int) and x < 16:
            self.add(start, end, str(x + 1), "number + 1")
        elif isinstance(x, float) and 0 < x < 1e-6 and self.kind != "closed-form":
            self.add(start, end, repr(x * 1000), "allowance x 1000")
        elif isinstance(x, float) and (x == 0 or x >= 1e-6):
            self.add(start, end, repr(x * 1.001 if x else 1e-3), "number x 1.001")

    def visit_BinOp(self, node):
        if type(node.op) in SWAPS:
            old, new = SWAPS[type(node.op)]
            start, end = self.span(node.left)[1], self.span(node.right)[0]
            at = start + self.source[start:end].index(old)
            self.add(at, at + len(old), new, f"{old} swapped")
            if type(node.op) is not ast.Pow:
                self.add(*self.span(node), f"({self.of(node.left)})", "term dropped")
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        self.add(*self.span(node), f"({self.of(node.operand)})", "sign or not dropped")
        self.generic_visit(node)

    def flip(self, op, left, right):
        old, new = FLIPS[type(op)]
        start, end = self.span(left)[1], self.span(right)[0]
        at = re.search(r"(?<![<>=!\w])" + old.replace(" ", r"\s+") + r"(?![=\w])", self.source[start:end])
        self.add(start + at.start(), start + at.end(), new, f"{old} flipped")

    def visit_Compare(self, node):
        for op, left, right in zip(node.ops, (node.left, *node.comparators), node.comparators, strict=False):
            self.flip(op, left, right)
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        self.flip(node.op, *node.values[:2])
        self.generic_visit(node)

    def visit_IfExp(self, node):
        self.add(*self.span(node), f"{self.of(node.orelse)} if {self.of(node.test)} else {self.of(node.body)}", "branches swapped")
        self.generic_visit(node)

    def visit_If(self, node):
        self.add(*self.span(node.test), f"not ({self.of(node.test)})", "condition turned")
        self.generic_visit(node)

    def visit_Call(self, node):
        called = self.of(node.func).rsplit(".", 1)[-1]
        if called == "refuse" or PRINTED.fullmatch(called):
            return
        if called in ("Check", "below") and len(node.args) == 4 and self.path not in KITS:
            for part in (*node.args[:3], *node.keywords):  # the last one is the allowance
                self.visit(part)
            return
        if called in NAMES:
            end = self.span(node.func)[1]
            self.add(end - len(called), end, NAMES[called], f"{called} for {NAMES[called]}")
        if called == "where" and len(node.args) == 3:
            (start, _), (_, end), (one, two) = self.span(node.args[1]), self.span(node.args[2]), map(self.of, node.args[1:])
            self.add(start, end, f"{two}, {one}", "branches of where swapped")
        self.generic_visit(node)

    def visit_List(self, node):
        if self.kind == "evidence" and isinstance(node.ctx, ast.Load):
            for i, item in enumerate(node.elts):
                if isinstance(item, ast.Call | ast.Starred):
                    kept = ", ".join(self.of(other) for j, other in enumerate(node.elts) if i != j)
                    self.add(*self.span(node), f"[{kept}]", f"check {i + 1} dropped")
        self.generic_visit(node)


def closed_forms(tree: ast.Module) -> set[str]:
    """`predict*`, what entries name as predict, and the functions of the file that these call, and so on."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    given = [k.value for call in calls for k in call.keywords if k.arg == "predict"]
    given += [call.args[2] for call in calls if len(call.args) > 2 and isinstance(call.args[0], ast.Constant)]  # of a statement
    named = {value.id for value in given if isinstance(value, ast.Name)}
    found, left = set(), {name for name in functions if name in named or name.lstrip("_").startswith("predict")}
    while left:
        found |= left
        used = {n.id for name in left for n in ast.walk(functions[name]) if isinstance(n, ast.Name)}
        left = (used & functions.keys()) - found
    return found


def faults(kind: str, root: Path, only: str = "") -> list[Mutant]:
    """All faults of a kind, in the order of files and places."""
    found = []
    files = [p for p in (root / "ufm/theory").glob("*/*.py") if p.name != "__init__.py"]
    entries = sorted(str(p.relative_to(root)) for p in files if p.parent.name not in ("statements", "kit"))
    core = CORE.split() + sorted(str(p.relative_to(root)) for room in CORE_ROOMS.split() for p in (root / room).glob("*.py"))
    paths = {"evidence": [*KITS, *entries], "closed-form": entries, "core": core}[kind]
    for path in paths:
        if not re.search(only, path) or not (root / path).is_file():
            continue
        source = (root / path).read_text()
        tree = ast.parse(source)
        wanted = None if kind == "core" or path in KITS else closed_forms(tree)
        if kind == "evidence" and wanted is not None:
            wanted = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and "evidence" in n.name} - wanted
        found += Faults(kind, path, source, wanted).found
    return found
