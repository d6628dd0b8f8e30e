"""The command line: `ufm verify`, `ufm theorems`, and the commands that have a file each."""

import argparse
import os
import sys
from pathlib import Path

import jax

from ufm.base.environment import prefer_quick_compilation
from ufm.cli import atlas, language, long_tail, metrics, perturb, sweep
from ufm.cli.output import add_json, carry_out, folder_for, show
from ufm.proofs.exact import flint

_COMMANDS = {
    "sweep": (sweep, "a function of a problem at every point of a grid, stored and resumed"),
    "atlas": (atlas, "one table over all losses: geometry, threshold and kind of its transition"),
    "metrics": (metrics, "how far the features of a trained model have collapsed, from one file or a folder of shards"),
    "longtail": (long_tail, "which classes of a long-tailed data set collapse, predicted, measured and certified"),
    "language": (language, "the geometry of next tokens with real word frequencies, more classes than dimensions"),
    "perturb": (perturb, "hold real features of a network against the proximity model"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Returns:
      The exit code: 0 for success, 1 for a failed verification, 2 for what was refused or has no room, 130 where it was
      interrupted, 141 where nobody reads what it prints.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who called
            setattr(sys, name, open(os.devnull, "w"))
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more at its exit
        return 141
    except KeyboardInterrupt as interrupt:
        return _ended(": ".join(["interrupted", *map(str, interrupt.args)]), 130)
    except ValueError as error:
        return _ended(str(error), 2)
    except OSError as error:
        named = "" if error.filename is None else f"{error.filename}: "
        return _ended(f"{named}{error.strerror or error}", 2)
    except (MemoryError, OverflowError) as error:
        return _ended(f"the sizes asked for are too large for this machine ({str(error) or 'no memory'})", 2)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return _ended(f"the sizes asked for are too large for this device ({str(error).splitlines()[0]})", 2)


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["bench"]:  # a program of its own, with its own arguments and threads
        return _bench(arguments[1:])
    parser = _parser()
    options = parser.parse_args(arguments)
    prefer_quick_compilation(short_runs=options.run is _verify)
    jax.config.update("jax_enable_x64", True)
    return options.run(options)


def _ended(sentence: str, code: int) -> int:
    print(f"ufm: {sentence}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ufm", description="The laboratory for the theory of neural collapse.")
    commands = parser.add_subparsers(required=True, metavar="command")

    verify = commands.add_parser("verify", help="hold closed forms against measured minima")
    verify.add_argument("names", nargs="*", metavar="NAME", help="ids of theorems (default: all)")
    verify.add_argument("--family", help="only this family, a folder of ufm/theory")
    verify.add_argument("--cases", type=int, default=0, metavar="N", help="random cases a theorem, on top of the fixed ones")
    verify.add_argument("--seed", type=int, default=0, metavar="S", help="seed of random cases and starts")
    add_json(verify)
    verify.add_argument("--proof", action="store_true", help="prove every instance that can be proved, and say what cannot and why")
    verify.add_argument("--proofs", metavar="DIR", help="save the proofs there, and have a checker of its own read each of them")
    verify.add_argument("--cache", action="store_true", help="keep compiled programs in the user's cache between runs")
    verify.set_defaults(run=_verify)

    theorems = commands.add_parser("theorems", help="list the catalogue, or explain one entry")
    theorems.add_argument("name", nargs="?", metavar="NAME", help="id of a theorem")
    theorems.set_defaults(run=_theorems)

    commands.add_parser("bench", help="time ufm beside its peers in one run (from a checkout)", add_help=False)
    for name, (module, text) in _COMMANDS.items():
        command = commands.add_parser(name, help=text)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def _verify(options: argparse.Namespace) -> int:
    from ufm.verification.archive import save_proofs
    from ufm.verification.run import verify

    folder = None if options.proofs is None else folder_for(options.proofs)
    if options.proof or folder is not None:
        flint()  # refused before any work where it is missing
    if options.cache:
        _keep_compiled_programs()
    asked = {"family": options.family, "cases": options.cases, "seed": options.seed}
    asked["proofs"] = options.proof or folder is not None
    report = carry_out(
        options,
        "compiling",
        lambda bar: verify(*options.names, **asked, progress=lambda name, done, total: bar(done, total, name)),
    )
    if report.environment["canary"] != "sings":
        from ufm.base.canary import ADVICE

        print(f"ufm: nothing was certified: {ADVICE}", file=sys.stderr)
    if folder is None:
        return 0 if report.ok else 1
    saved = save_proofs(report, folder)
    total = sum(map(len, saved))
    print(f"{total} proofs saved in {folder}; the checker accepts {len(saved.accepted)}, does not cover {len(saved.uncovered)}")
    for file, reason in saved.refused.items():
        print(f"ufm: {file.name} is refused: {reason}", file=sys.stderr)
    return 0 if report.ok and not saved.refused else 1


def _theorems(options: argparse.Namespace) -> int:
    from ufm.show import explain
    from ufm.theory.registry import catalogue, select

    show(catalogue() if options.name is None else explain(select((options.name,))[0]))
    return 0


def _bench(arguments: list[str]) -> int:
    root = Path(__file__).parents[2]
    if not (root / "benchmarks" / "harness.py").is_file():
        print("ufm: the benchmark is not in the package: `ufm bench` needs an editable install of a checkout", file=sys.stderr)
        return 2
    sys.path.insert(0, str(root))
    from benchmarks.harness import main as bench

    return bench(arguments)


def _keep_compiled_programs() -> None:
    from jaxlib import version

    folder = Path.home() / ".cache" / "ufm" / f"jaxlib-{version.__version__}"
    settings = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    # read by the processes that verify starts; XLA takes its own tuning hints for features that the processor lacks, and
    # would print an error for every program that it loads
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ.update({name.upper(): str(value) for name, value in settings.items()})
    if jax.default_backend() != "cpu":  # verify works in this process then
        for name, value in settings.items():
            jax.config.update(name, value)
