"""The house stays easy to see: imports point one way, everything public is documented, the README is true."""

import ast
import doctest
import importlib
import pathlib
import pkgutil
import re

import ufm
from ufm.theory.listing import markdown_table

ROOT = pathlib.Path(__file__).parent.parent

# a module may import only from modules named before it; the theory's families come last but for what reports on them
ORDER = (
    "precision", "checks", "status", "card", "command", "programs", "losses", "problem", "objective", "envelope", "roots",
    "quasi_newton", "minimise", "frames", "metrics", "equivalent", "judge", "central_path", "solve", "callbacks", "flow", "descent",
    "log_domain", "lion", "perp_grad", "max_margin", "conventions", "settings", "duality", "theory", "recognition", "atlas", "real",
    "canary", "environment", "report", "sweeps", "verify", "explanations", "plot", "cli", "__main__", "__init__",
)  # fmt: skip


def _modules():
    for path in sorted((ROOT / "ufm").rglob("*.py")):
        yield path.relative_to(ROOT / "ufm"), ast.parse(path.read_text())


def _imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ufm":
            names = [node.module] if node.module != "ufm" else [f"ufm.{alias.name}" for alias in node.names]
            yield from (name.split(".")[1:] for name in names)


def test_imports_point_one_way():
    for path, tree in _modules():
        here = path.parts[0].removesuffix(".py")
        for target in _imports(tree):
            there = target[0] if target else "__init__"
            if here == there and len(path.parts) > 1:  # within a room
                continue
            assert ORDER.index(there) < ORDER.index(here), f"{path} imports ufm.{'.'.join(target)}"


def test_shared_theory_imports_no_family_and_families_import_no_registry():
    folders = {p.name for p in (ROOT / "ufm/theory").iterdir() if p.is_dir()}
    for path, tree in _modules():
        if path.parts[0] != "theory":
            continue
        for target in _imports(tree):
            if target[0] != "theory" or len(target) < 2:
                continue
            if len(path.parts) == 2:
                assert target[1] not in folders, f"{path} imports the family {target[1]}"
            else:
                assert target[1] not in ("catalogue", "listing"), f"{path} imports the registry"


def test_files_are_short_enough_to_read():
    for path, _ in _modules():
        lines = (ROOT / "ufm" / path).read_text().count("\n")
        assert lines <= 320, f"{path}: {lines} lines"


def test_every_public_name_is_documented():
    for module in [m.name for m in pkgutil.walk_packages(ufm.__path__, "ufm.")]:
        if module.endswith("__main__"):
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
    assert table == markdown_table(), "paste ufm.theory.listing.markdown_table()"


def test_the_programs_of_the_readme_print_what_they_say():
    readme = (ROOT / "README.md").read_text()
    program = "\n".join(re.findall(r"```pycon\n(.*?)```", readme, re.S))
    example = doctest.DocTestParser().get_doctest(program, {}, "README", "README.md", 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert runner.run(example).failed == 0
