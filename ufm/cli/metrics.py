"""`ufm metrics`: how far the features of a trained model have collapsed, from one file or a folder of shards."""

import argparse
from pathlib import Path

from ufm.cli.output import add_json, carry_out
from ufm.features import measure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `ufm metrics`."""
    text = ".npz of labels and features (N, d) or H (d, N), maybe W (K, d), b (K,); or a folder of such files"
    parser.add_argument("path", type=Path, metavar="PATH", help=text)
    parser.add_argument("--classifier", type=Path, metavar="FILE", help=".npz of W (K, d) and maybe b (K,), or weight and bias")
    parser.add_argument(
        "--global-mean", choices=("samples", "classes"), default="samples", help="mean over all samples or of class means"
    )
    parser.add_argument(
        "--exponent", type=float, default=1.0, metavar="R", help="of squared distances in CDNV (2: language models)"
    )
    parser.add_argument("--ddof", type=int, default=0, metavar="N", help="variances over count - N (default 0)")
    parser.add_argument(
        "--min-per-class", type=int, metavar="N", help="leave out classes with fewer samples (default: refuse below 2)"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Carry out `ufm metrics`: print the report, write the JSON file; 0 for success."""
    names = ("classifier", "global_mean", "exponent", "ddof", "min_per_class")
    chosen = {name: getattr(options, name) for name in names}
    carry_out(options, "reading", lambda progress: measure(options.path, **chosen, progress=progress))
    return 0
