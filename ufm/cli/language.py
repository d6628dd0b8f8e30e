"""`ufm language`: the geometry of next tokens with real word frequencies."""

import argparse

from ufm.cli.output import add_json, carry_out
from ufm.features import language


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `ufm language`."""
    parser.add_argument("--vocabulary", type=int, nargs="+", default=[64, 128], metavar="V", help="numbers of words")
    parser.add_argument("--dimensions", type=int, nargs="+", default=[16, 32, 64], metavar="D", help="widths of the features")
    parser.add_argument("--language", default="en", metavar="L", help="whose words: a language of wordfreq")
    parser.add_argument("--exponent", type=float, metavar="X", help="Zipf's law of this exponent in place of words")
    parser.add_argument("--contexts", type=int, default=0, metavar="M", help="soft labels: so many contexts (default: classes)")
    parser.add_argument("--ridge", type=float, default=3e-3, metavar="X", help="ridge of W and of H")
    parser.add_argument("--starts", type=int, default=1, metavar="N", help="random starts for widths below V")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of contexts and starts")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Carry out `ufm language`: print the report, write the JSON file; 0 for success."""
    names = ("language", "exponent", "contexts", "ridge", "starts", "seed")
    chosen = {name: getattr(options, name) for name in names}
    sizes = options.vocabulary, options.dimensions
    carry_out(options, "minimising", lambda progress: language(*sizes, **chosen, progress=progress))
    return 0
