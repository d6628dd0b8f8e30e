"""Checkpoints: arrays in one .npz file that is either whole or absent, and says so of itself.

The file is written beside its final name and moved there, so an interruption leaves the previous one; a checksum over names,
shapes, dtypes and bytes tells a damaged file from a good one.
"""

import hashlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_CHECKSUM = "checksum"


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays to `path` atomically.

    Args:
      path: the file; its folder is made where it is missing.
      arrays: arrays of numbers by name.

    Raises:
      ValueError: if the folder cannot be made or written to.
    """
    path = Path(path)
    arrays = {name: np.asarray(x) for name, x in arrays.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    except OSError as error:
        raise ValueError(f"the store must be a folder that can be written to, got {str(path.parent)!r}: {error}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            stored: dict[str, Any] = {**arrays, _CHECKSUM: np.frombuffer(_digest(arrays), np.uint8)}
            np.savez(file, **stored)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def load_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays that `save_arrays` wrote to `path`; None where there is no such file.

    Raises:
      ValueError: if the file is damaged or of another kind.
    """
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        whole = arrays.pop(_CHECKSUM).tobytes() == _digest(arrays)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error):
        whole = False
    if not whole:
        raise ValueError(f"the checkpoint {str(path)!r} is damaged: remove it to start that training again")
    return arrays


def _digest(arrays: Mapping[str, np.ndarray]) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        x = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {x.dtype.str} {x.shape} ".encode())
        digest.update(x.tobytes())
    return digest.digest()
