"""`ufm perturb`: real features of a network held against the proximity model."""

import argparse
from pathlib import Path

from ufm.cli.output import add_json, carry_out
from ufm.features import perturb


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `ufm perturb`."""
    parser.add_argument("--features", type=Path, metavar="FILE", help=".npz of H (d, N), labels, maybe W, b, H0 (default: train)")
    parser.add_argument("--model", choices=("mlp", "cnn"), default="mlp", help="the network to train on scikit-learn's digits")
    parser.add_argument("--loss", choices=("mse", "ce"), default="mse", help="what the network is, or was, trained with")
    parser.add_argument("--epochs", type=int, metavar="N", help="epochs of training (default: well past zero training error)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the training")
    parser.add_argument("--l2-W", dest="l2_W", type=float, metavar="X", help="ridge of W (default: fitted)")
    parser.add_argument("--l2-H", dest="l2_H", type=float, metavar="X", help="ridge of H (default: fitted)")
    parser.add_argument("--beta", type=float, metavar="X", help="strength of the proximity term (default: fitted)")
    parser.add_argument("--store", type=Path, metavar="DIR", help="keep checkpoints here, and go on from them")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Carry out `ufm perturb`: print the report, write the JSON file; 0 for success."""
    names = ("model", "loss", "epochs", "seed", "l2_W", "l2_H", "beta", "store")
    chosen = {name: getattr(options, name) for name in names}
    text = "training" if options.features is None else "comparing"
    carry_out(options, text, lambda progress: perturb(options.features, **chosen, progress=progress))
    return 0
