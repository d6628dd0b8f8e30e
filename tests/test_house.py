"""The house stays easy to see: imports point one way, everything public is documented, the README is true."""

import ast
import doctest
import importlib
import pathlib
import pkgutil
import re

import pytest

import ufm

ROOT = pathlib.Path(__file__).parent.parent

# a room may import only from rooms named before it
ROOMS = (
    "base", "losses", "problem", "equivalent", "search", "motion", "frames", "metrics", "settings", "duality", "proofs",
    "theory", "recognition", "atlas", "features", "sweeps", "verification", "show", "plot", "cli", "__main__", "__init__",
)  # fmt: skip


def _modules():
    for path in sorted((ROOT / "ufm").rglob("*.py")):
        yield path.relative_to(ROOT / "ufm"), ast.parse(path.read_text())


def _dotted(path):
    parts = path.with_suffix("").parts
    return ".".join(("ufm", *(parts[:-1] if parts[-1] == "__init__" else parts)))


NAMES = {_dotted(path) for path, _ in _modules()}


def _imports(tree):
    """Modules that a file imports wherever it does, and those that it names in a string of their own, to import them by it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in NAMES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ufm":
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in NAMES else node.module for name in inner)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in NAMES - {"ufm"}:
            yield node.value


def _parts(module):
    return module.split(".")[1:]


def test_rooms_import_one_way():
    for path, tree in _modules():
        here = path.parts[0].removesuffix(".py")
        for target in _imports(tree):
            there = (_parts(target) or ["__init__"])[0]
            if here != there and not (target == "ufm" and here in ("__main__", "__init__")):
                assert ROOMS.index(there) < ROOMS.index(here), f"{path} imports {target}"


@pytest.mark.parametrize("room", ROOMS[:-2])
def test_a_room_says_which_rooms_it_imports(room):
    said = importlib.import_module(f"ufm.{room}").__doc__.rstrip().splitlines()[-1]
    found = {_parts(t)[0] for path, tree in _modules() if path.parts[0] == room for t in _imports(tree) if _parts(t)} - {room}
    assert said == f"Imports {', '.join(sorted(found, key=ROOMS.index)) or 'no other room'}."


def test_no_import_goes_round():
    """Modules by explicit imports alone, lazy ones and strings too; a room's door imports its files, and no file its own door."""
    waits = {_dotted(path): set(_imports(tree)) - {_dotted(path)} for path, tree in _modules()}
    while free := {module for module, on in waits.items() if not on & waits.keys()}:
        waits = {module: on for module, on in waits.items() if module not in free}
    assert not waits, {module: sorted(on & waits.keys()) for module, on in waits.items()}


def test_the_front_has_no_files_but_doors():
    assert {path.name for path in (ROOT / "ufm").iterdir() if path.is_file()} == {"__init__.py", "__main__.py", "py.typed"}


def test_no_function_hides_the_module_of_its_name():
    for name in sorted(NAMES - {"ufm", "ufm.__main__"}):
        module = importlib.import_module(name)
        room, _, leaf = name.rpartition(".")
        assert getattr(importlib.import_module(room), leaf) is module, f"{name} is hidden by what {room} has of this name"


TEXTS = ("ufm/**/*.py", "tests/**/*.py", "benchmarks/**/*.py", "notebooks/*.py", "*.md", ".github/*.md", "pyproject.toml")


@pytest.mark.parametrize("pattern", TEXTS)
def test_names_and_files_that_a_text_speaks_of_exist(pattern):
    for path in sorted(ROOT.glob(pattern)):
        text = path.read_text()
        for name in set(re.findall(r"\bufm(?:\.[A-Za-z_]\w*)+", text)) - {"ufm.equivalent.widths.in_"}:
            assert _resolves(name), f"{path.relative_to(ROOT)} speaks of {name}"
        for file in set(re.findall(r"\b(?:ufm|tests|benchmarks|notebooks)/[\w/]+\.(?:py|bib)\b", text)):
            assert (ROOT / file).is_file(), f"{path.relative_to(ROOT)} speaks of {file}"


def test_notebooks_and_readme_come_in_by_doors_alone():
    """A door is a room, a family of the theory, or a file that a room's `__all__` names; what it has in its own is public."""
    sources = [*ROOT.glob("notebooks/[0-9f]*.py"), ROOT / "README.md"]  # what people read; run.py runs them
    for path in sources:
        for module, names in re.findall(r"^ *from (ufm[\w.]*) import ([\w, ]+)", path.read_text(), re.M):
            door, (room, _, leaf) = importlib.import_module(module), module.rpartition(".")
            named = getattr(door, "__all__", None)
            if named is None:
                doors = getattr(importlib.import_module(room), "__all__", ())
                assert leaf in doors, f"{path.name} imports from {module}, which is no door"
            for name in map(str.strip, names.split(",")):
                public = name in named if named is not None else hasattr(door, name) and not name.startswith("_")
                assert public, f"{path.name} imports {name}, which {module} does not show"


def _resolves(name):
    at, value = "ufm", ufm
    for part in name.split(".")[1:]:
        at = f"{at}.{part}"
        if at == "ufm.__main__":  # runs the command line where it is imported
            return True
        value = importlib.import_module(at) if at in NAMES else getattr(value, part, None)
        if value is None:
            return False
    return True


def test_shared_theory_imports_no_family_and_families_import_no_registry():
    folders = {p.name for p in (ROOT / "ufm/theory").iterdir() if p.is_dir()}
    for path, tree in _modules():
        if path.parts[0] != "theory":
            continue
        for target in map(_parts, _imports(tree)):
            if target[:1] != ["theory"] or len(target) < 2:
                continue
            if len(path.parts) == 2:
                assert target[1] not in folders, f"{path} imports the family {target[1]}"
            else:
                assert target[1] != "registry", f"{path} imports the registry"


def test_files_are_short_enough_to_read():
    for path, _ in _modules():
        lines = (ROOT / "ufm" / path).read_text().count("\n")
        assert lines <= 320, f"{path}: {lines} lines"


COMMENTED = ("ufm.proofs.check_proof", "ufm.proofs.check_more", "ufm.proofs.check_facts")  # short programs: a comment a function


def test_every_public_name_is_documented():
    for module in [m.name for m in pkgutil.walk_packages(ufm.__path__, "ufm.")]:
        if module.endswith("__main__") or module in COMMENTED:
            continue
        loaded = importlib.import_module(module)
        assert loaded.__doc__, module
        for name, value in vars(loaded).items():
            if callable(value) and getattr(value, "__module__", "") == module and not name.startswith("_"):
                assert value.__doc__, f"{module}.{name}"


def test_all_names_of_the_front_door_exist_and_are_sorted():
    assert list(ufm.__all__) == sorted(ufm.__all__)
    assert all(hasattr(ufm, name) for name in ufm.__all__)


def test_completion_shows_the_public_names_and_the_front_page_has_them_all():
    assert dir(ufm) == sorted(ufm.__all__)
    for room in ROOMS[1:-2]:
        door = importlib.import_module(f"ufm.{room}")
        assert dir(door) == sorted(door.__all__), room
    assert not [name for name in ufm.__all__ if not re.search(rf"\b{name}\b", ufm.__doc__)]


def test_importing_ufm_draws_in_no_heavy_library_and_touches_no_device():
    import subprocess
    import sys

    code = (
        "import sys, jax, ufm;"
        "heavy = {'diffrax', 'rich.table', 'matplotlib', 'xarray', 'tqdm', 'flax', 'scipy.optimize'} & set(sys.modules);"
        "assert not heavy, heavy; assert not jax.config.jax_enable_x64; from jax._src import xla_bridge;"
        "assert not xla_bridge._backends, 'import ufm started a backend'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_theorem_table_of_the_readme_is_the_catalogue():
    readme = (ROOT / "README.md").read_text()
    table = re.search(r"<!-- catalogue -->\n(.*?)\n<!-- /catalogue -->", readme, re.S).group(1)
    assert table == ufm.catalogue().markdown(), "paste ufm.catalogue().markdown()"


def test_the_programs_of_the_readme_print_what_they_say():
    readme = (ROOT / "README.md").read_text()
    program = "\n".join(re.findall(r"```pycon\n(.*?)```", readme, re.S))
    example = doctest.DocTestParser().get_doctest(program, {}, "README", "README.md", 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert runner.run(example).failed == 0
