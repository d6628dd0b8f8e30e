"""`ufm atlas`: one table over all losses."""

import argparse

from ufm.atlas import atlas
from ufm.cli.output import add_json, carry_out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `ufm atlas`."""
    parser.add_argument("--classes", type=int, default=4, metavar="K", help="number of classes (default: 4)")
    parser.add_argument("--c", type=float, default=0.01, metavar="X", help="sqrt(l2_W l2_H n) of what is shown (default: 0.01)")
    parser.add_argument("--loss", action="append", metavar="NAME", help='only this loss, as "mae" or "focal(0.5)"; may be repeated')
    parser.add_argument("--measure", action="store_true", help="descend from random starts too")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the random starts")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Carry out `ufm atlas`: print the table, write the JSON file; 1 where a measurement disagrees, else 0."""
    report = carry_out(
        options,
        "losses",
        lambda progress: atlas(
            options.classes, options.c, options.loss, measure=options.measure, seed=options.seed, progress=progress
        ),
    )
    return 0 if report.ok else 1
