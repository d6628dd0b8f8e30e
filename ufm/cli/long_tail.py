"""`ufm longtail`: which classes of a long-tailed data set collapse, predicted, measured and certified."""

import argparse
import json
from pathlib import Path

from ufm.base.checks import refuse
from ufm.cli.output import add_json, carry_out
from ufm.features import long_tail
from ufm.settings.long_tail import PROFILES, check_counts, exponential_counts, imagenet_lt_counts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `ufm longtail`."""
    parser.add_argument("profile", nargs="?", choices=tuple(PROFILES), help="class counts of a benchmark (default: cifar10)")
    parser.add_argument("--counts", type=Path, metavar="FILE", help="class counts from a file in place of a benchmark's")
    parser.add_argument("--ratio", type=float, metavar="R", help="largest over smallest class of cifar10, cifar100 (default: 100)")
    parser.add_argument("--l2-W", dest="l2_W", type=float, metavar="X", help="ridge of W (default: half of the tail collapses)")
    parser.add_argument("--l2-H", dest="l2_H", type=float, metavar="X", help="ridge of every feature (default: as l2_W)")
    parser.add_argument("--features", choices=("free", "nonnegative"), default="free", help="what features may be")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the random start")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Carry out `ufm longtail`: print the report, write the JSON file; 0 for success."""
    source, counts = _counts_of(options)
    names = ("l2_W", "l2_H", "features", "seed")
    chosen = {name: getattr(options, name) for name in names}
    carry_out(options, "minimising", lambda progress: long_tail(counts, source=source, **chosen))
    return 0


def _counts_of(options: argparse.Namespace) -> tuple[str, tuple[int, ...]]:
    if options.counts is not None:
        if options.profile is not None or options.ratio is not None:
            refuse("--counts", str(options.counts), "alone, without a benchmark or --ratio")
        return str(options.counts), read_counts(options.counts)
    profile = options.profile or "cifar10"
    if profile == "imagenet":
        if options.ratio is not None:
            refuse("--ratio", options.ratio, "left out for imagenet, whose counts are fixed")
        return "ImageNet-LT (reconstructed)", imagenet_lt_counts()
    ratio = 100.0 if options.ratio is None else options.ratio
    classes, largest = PROFILES[profile]
    return f"{profile.upper().replace('CIFAR', 'CIFAR-')}-LT at ratio {ratio:g}", exponential_counts(classes, largest, ratio)


def read_counts(path: Path) -> tuple[int, ...]:
    """Class counts from a file: a JSON list, or whole numbers separated by blanks, commas or line ends.

    Raises:
      ValueError: if the file cannot be read as that.
    """
    try:
        text = path.read_text()
        numbers = json.loads(text) if text.lstrip().startswith("[") else [int(x) for x in text.replace(",", " ").split()]
    except (OSError, ValueError) as error:
        raise ValueError(f"--counts must name a file of whole numbers, got {str(path)!r}: {error}") from None
    return check_counts(numbers)
