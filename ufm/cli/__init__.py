"""The command line: a file a command, and what they share. All of argparse is here.

Imports base, settings, proofs, theory, atlas, features, sweeps, verification, show.
"""

from ufm.cli.program import main

__all__ = ["main"]


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__
