"""Which faults the tests notice: one at a time (see `faults.py`) is written into a copy of ufm, and its guards are run.

    python tests/mutants.py --kind evidence --mutants 100 --journal run.jsonl    # stopped and called again, it goes on
    python tests/mutants.py --kind closed-form --list                            # the places alone

A fault is noticed where a guard fails or takes five times the CPU time and 30 s. Guards, up to the first that fails:
the entries whose closed form is in the file or uses it, case by case (`--guard`); then the tests that import the file.
"""

import argparse
import ast
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from faults import KINDS, Mutant, faults

ROOT = Path(__file__).resolve().parent.parent


def importers(path: str, root: Path) -> list[str]:
    """Files of ufm that import a file."""
    module, name = path.removesuffix(".py").replace("/", ".").rpartition(".")[::2]
    line = re.compile(rf"^\s*(from {module}\.{name} import|from {module} import .*\b{name}\b)", re.M)
    return [str(p.relative_to(root)) for p in sorted((root / "ufm").rglob("*.py")) if line.search(p.read_text())]


def used_names(path: str, test: str, root: Path) -> set[str]:
    """What a test takes of a file: names that it imports from there, its room or the front door, and ids of entries."""
    module = path.removesuffix(".py").replace("/", ".")
    doors = {module.rsplit(".", i)[0] for i in range(module.count(".") + 1)}
    source = (root / path).read_text()
    tree = ast.parse(source)
    own = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)} | {module.rsplit(".", 1)[-1]}
    own |= {t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)}
    ids, names = set(re.findall(r'\bid="([\w-]+)"', source)), set()
    for node in ast.walk(ast.parse((root / test).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module in doors:
            names |= {alias.name for alias in node.names} & own
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in module.split("."):
            names |= {node.attr} & own
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names |= {node.value} & ids
    return names


def guarding_tests(path: str, root: Path, most: int) -> list[str]:
    """Test files that take something of a file: of its name, then those that take most; then those of its importers."""
    tests = [str(p.relative_to(root)) for p in (root / "tests").rglob("test_*.py")]
    size = {test: len((root / test).read_text()) for test in tests}
    taken = {test: len(used_names(path, test, root)) for test in tests}
    namesake = f"test_{Path(path).stem}"
    found = sorted((t for t in tests if taken[t]), key=lambda t: (Path(t).stem != namesake, -taken[t], size[t]))
    if len(found) < most:
        through = importers(path, root)[:12]
        counts = {t: sum(len(used_names(other, t, root)) for other in through) for t in tests if t not in found}
        found += sorted((t for t in counts if counts[t]), key=lambda t: (-counts[t], size[t]))
    return found[:most]


def guard(module: str, kind: str) -> int:
    """1 at the first case, of an entry whose closed form stands in the module or uses it, that does not support its status."""
    import jax

    from ufm.base.environment import prefer_quick_compilation
    from ufm.theory.registry import catalogue
    from ufm.verification.run import _all_cases, _result

    prefer_quick_compilation(short_runs=True)
    jax.config.update("jax_enable_x64", True)
    theorems = catalogue().values()
    here = sys.modules[module]  # loaded by the catalogue
    for theorem in theorems:
        home = sys.modules[theorem.predict.__module__]
        used = {getattr(value, "__module__", None) for value in vars(home).values()}
        if theorem in getattr(here, "THEOREMS", ()) or (not hasattr(here, "THEOREMS") and module in used):
            closed_form = theorem.closed_form()
            for label, make in _all_cases(theorem, 0, 0):
                result = _result(theorem, closed_form, label, make, 0)
                if not result.supports(theorem.status):
                    print(theorem.id, label, result.error or [c for c in result.checks if not c.passed])
                    return 1
            if kind == "evidence" and (ROOT / "tests/moved_leaves.py").is_file():
                from moved_leaves import EXCEPTIONS, unread

                left = unread(theorem)
                if left != EXCEPTIONS.get(theorem.id, (set(), ""))[0]:
                    print(theorem.id, "unread:", left)
                    return 1
    return 0


class Copy:
    """A copy of the tree in which one mutant lives at a time."""

    def __init__(self, folder: Path, cache: Path, most_tests: int, slowest: float):
        self.root, self.most_tests, self.slowest, self.usual = folder, most_tests, slowest, {}
        for name in ("ufm", "tests", "benchmarks", ".github", "README.md", "pyproject.toml"):
            source, target = ROOT / name, folder / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.is_file():
                shutil.copy(source, target)
        self.environment = os.environ | {
            "PYTHONPATH": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3", "JAX_COMPILATION_CACHE_DIR": str(cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }  # fmt: skip

    def guards(self, kind: str, path: str) -> list[list[str]]:
        """The commands that guard a file, the cheapest first."""
        module = path.removesuffix(".py").replace("/", ".")
        tests = [["-m", "pytest", "-n", "0", "-x", "-q", "-p", "no:cacheprovider", test]
                 for test in guarding_tests(path, self.root, self.most_tests)]  # fmt: skip
        entries = path.startswith("ufm/theory/") and path.count("/") == 3
        return [["tests/mutants.py", "--guard", module, "--kind", kind], *tests] if entries else tests

    def run(self, command: list[str], cpu_seconds: float) -> tuple[str, str, float]:
        """("passes", "fails" or "slow", its last words, seconds of CPU), which do not depend on what else the machine does."""

        def bounded():
            resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_seconds), int(cpu_seconds) + 5))

        with tempfile.TemporaryFile("w+") as said:
            started = subprocess.Popen([sys.executable, *command], cwd=self.root, env=self.environment, text=True,
                                       stdout=said, stderr=subprocess.STDOUT, preexec_fn=bounded)  # fmt: skip
            _, status, usage = os.wait4(started.pid, 0)
            said.seek(0)
            lines = [line for line in said.read().splitlines() if line.strip()]
        code = os.waitstatus_to_exitcode(status)
        verdict = "slow" if code in (-signal.SIGXCPU, -signal.SIGKILL) else "fails" if code else "passes"
        words = next((line for line in lines if line.startswith(("E ", "FAILED"))), lines[-1] if lines else "")
        return verdict, words[:300], usage.ru_utime + usage.ru_stime

    def tried(self, mutant: Mutant) -> dict:
        """What became of a mutant: by which guard it was noticed, or that it survived those that pass without it."""
        target = self.root / mutant.path
        source = target.read_text()
        before, after = mutant.lines(source)
        record = {"kind": mutant.kind, "name": mutant.name, "before": before, "after": after, "by": "", "survived": []}
        for command in self.guards(mutant.kind, mutant.path):
            label = " ".join(command[-1:] if command[0] == "-m" else command[1:3])
            if label not in self.usual:  # without the mutant; a guard that fails or takes too long then guards nothing
                self.usual[label] = self.run(command, self.slowest)
                if self.usual[label][0] != "passes":
                    print("guards nothing, since it does not pass as it is:", label, self.usual[label], file=sys.stderr, flush=True)
            verdict, _, seconds = self.usual[label]
            if verdict == "passes":
                target.write_text(mutant.applied(source))
                verdict, words, _ = self.run(command, 30 + 5 * seconds)
                target.write_text(source)
                if verdict != "passes":
                    return record | {"by": label, "verdict": verdict, "words": words}
                record["survived"].append(label)
        return record | {"verdict": "survives" if record["survived"] else "unguarded"}


def main(arguments: list[str]) -> int:
    """Choose, try, print; 1 where a mutant of the evidence survives or more than one in twenty of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the choice")
    parser.add_argument("--mutants", type=int, default=300, help="how many, in equal parts from the kinds")
    parser.add_argument("--kind", choices=(*KINDS, "all"), default="all")
    parser.add_argument("--only", default="", help="a regular expression, found in the path")
    parser.add_argument("--tests", type=int, default=4, help="test files asked for each mutant, at most")
    parser.add_argument("--slowest", type=float, default=600, help="seconds of CPU that a guard may take without a mutant")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--journal", type=Path, default=Path(tempfile.gettempdir()) / "ufm-mutants.jsonl", help="results so far")
    parser.add_argument("--json", type=Path, help="write all results there")
    parser.add_argument("--list", action="store_true", help="print the chosen mutants and stop")
    parser.add_argument("--guard", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.guard:
        return guard(options.guard, options.kind)
    kinds = KINDS if options.kind == "all" else (options.kind,)
    chosen = []
    for kind in kinds:
        found = faults(kind, ROOT, options.only)
        chosen += random.Random(options.seed).sample(found, min(len(found), -(-options.mutants // len(kinds))))
    if options.list:
        print(*(mutant.name for mutant in chosen), sep="\n")
        return 0
    known = [json.loads(line) for line in options.journal.read_text().splitlines()] if options.journal.exists() else []
    results = {record["name"]: record for record in known}
    with tempfile.TemporaryDirectory() as scratch:
        copies = SimpleQueue()
        for i in range(options.jobs):
            copies.put(Copy(Path(scratch) / str(i), options.journal.with_suffix(".cache"), options.tests, options.slowest))

        def work(mutant: Mutant):
            copy = copies.get()
            record = results[mutant.name] = copy.tried(mutant)
            copies.put(copy)
            with options.journal.open("a") as journal:
                journal.write(json.dumps(record) + "\n")
            print(f"{record['verdict']:10}{mutant.name}  {record['by']}", flush=True)

        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(work, [mutant for mutant in chosen if mutant.name not in results]))
    records = [results[mutant.name] for mutant in chosen]
    if options.json:
        options.json.write_text(json.dumps(records, indent=1) + "\n")
    return report(records)


def report(records: list[dict]) -> int:
    """Print the table and the survivors."""
    counts = Counter((record["kind"], record["verdict"]) for record in records)
    noticed = {kind: counts[kind, "fails"] + counts[kind, "slow"] for kind in KINDS}
    tried = {kind: sum(record["kind"] == kind for record in records) for kind in KINDS}
    for kind in KINDS:
        print(f"{kind:12} {noticed[kind]} of {tried[kind]} noticed, {counts[kind, 'slow']} of them by time")
    for record in records:
        if record["verdict"] in ("survives", "unguarded"):
            print(f"\n{record['verdict']}: {record['name']}\n  - {record['before']}\n  + {record['after']}\n  {record['survived']}")
    return int(noticed["evidence"] < tried["evidence"] or sum(noticed.values()) < 0.95 * sum(tried.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
