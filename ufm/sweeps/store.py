"""Store: finished chunks in a folder that several processes write and no kill can spoil.

    DIR/sweep.json          what is swept, by which versions, in how many chunks, and its own SHA-256; written once
    DIR/lanes.npy           the order of the lanes, of which chunks are stretches; sweep.json has its SHA-256
    DIR/chunks/000012       one finished chunk: a line, the SHA-256 of sweep, number and the rest, an .npz archive
    DIR/locks               byte i + 1 is locked by the process that works on chunk i

A chunk is written under another name, flushed to the disk and renamed: it is there whole or not at all. The operating system
drops the locks of a process that dies, however it dies.
"""

import contextlib
import errno
import hashlib
import io
import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np

try:
    import fcntl
except ImportError:  # without POSIX locks two processes may do the same chunk, with the same result
    fcntl = None

_HEADER = b"ufm chunk 2\n"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Store:
    """A folder of chunks of one configuration. Open it with `Store.create` (to work) or `Store(folder)` (to look)."""

    def __init__(self, folder: Path) -> None:  # noqa: D107
        self.folder = Path(folder)
        if not (self.folder / "sweep.json").is_file():
            raise ValueError(f"store must be a folder that a sweep has written to, got {str(folder)!r} without a sweep.json")
        self.configuration, self._digest, self.order = _read(self.folder)
        self.chunks = int(self.configuration["chunks"])
        self._own: set[int] = set()
        self._guard = threading.Lock()
        self._locks: int | None = None

    @classmethod
    def create(cls, folder: Path, configuration: dict[str, Any], order: np.ndarray) -> "Store":
        """Begin a store, or go on with the one of the same configuration.

        Raises:
          ValueError: where the folder holds a sweep of another configuration, naming what differs, or other files.
          OSError: where the disk is full.
        """
        folder = Path(folder)
        (folder / "chunks").mkdir(parents=True, exist_ok=True)
        locks = os.open(folder / "locks", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if fcntl is not None:
                fcntl.lockf(locks, fcntl.LOCK_EX, 1, 0)
            if not (folder / "sweep.json").exists():
                stored = io.BytesIO()
                np.save(stored, order)
                _write(folder / "lanes.npy", stored.getvalue())
                sums = {"sha256": _digest_of(configuration), "sha256 of lanes.npy": _sum(stored.getvalue())}
                _write(folder / "sweep.json", json.dumps(configuration | sums, indent=1).encode() + b"\n")
        finally:
            os.close(locks)
        store = cls(folder)
        store._refuse_other(configuration)
        store._locks = os.open(folder / "locks", os.O_RDWR)
        store._sweep_up()
        return store

    def _sweep_up(self) -> None:
        """Remove what killed processes left half-written: parts of chunks on which nobody works, or that are finished."""
        for part in (self.folder / "chunks").glob(".*"):
            index = int(part.name.split(".")[1])
            claimed = self.claim(index)
            if claimed or self._path(index).exists():
                part.unlink(missing_ok=True)
            if claimed:
                self.release(index)

    def _refuse_other(self, configuration: dict[str, Any]) -> None:
        there = self.configuration
        differ = [name for name in sorted({*there, *configuration}) if there.get(name) != configuration.get(name)]
        if differ:
            named = "; ".join(f"{n}: {_brief(there.get(n))} there, {_brief(configuration.get(n))} here" for n in differ)
            raise ValueError(f"store {str(self.folder)!r} holds another sweep ({named}): choose another folder, or repeat that one")

    def close(self) -> None:
        """Let go of all locks."""
        if self._locks is not None:
            os.close(self._locks)
            self._locks = None

    def claim(self, index: int) -> bool:
        """Whether this process may work on a chunk: nobody else does, and it is not finished."""
        with self._guard:
            if index in self._own or self._path(index).exists():
                return False
            if fcntl is not None:
                try:
                    fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 1 + index)
                except OSError:
                    return False
            if self._path(index).exists():  # finished while we looked
                self._unlock(index)
                return False
            self._own.add(index)
            return True

    def release(self, index: int) -> None:
        """Give a claimed chunk back."""
        with self._guard:
            self._own.discard(index)
            self._unlock(index)

    def _unlock(self, index: int) -> None:
        if fcntl is not None:
            fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, 1 + index)

    def put(self, index: int, results: dict[str, np.ndarray]) -> None:
        """Write a finished chunk and give its claim back.

        Raises:
          OSError: where the disk is full, saying how much is safe; the store stays whole.
        """
        archive = io.BytesIO()
        np.savez(archive, **results)
        payload = archive.getvalue()
        try:
            _write(self._path(index), _HEADER + self._sum_of(index, payload) + b"\n" + payload)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            done = len(self.finished())
            raise OSError(
                error.errno,
                f"no room for a chunk of {len(payload)} bytes in {str(self.folder)!r} ({os.strerror(error.errno)}): "
                f"{done} of {self.chunks} chunks are stored and stay valid; make room and repeat the same sweep",
            ) from None
        finally:
            self.release(index)

    def get(self, index: int) -> dict[str, np.ndarray] | None:
        """The results of a chunk; None where it is missing, or damaged, in which case it is removed by those who work."""
        try:
            header, digest, payload = _split(self._path(index).read_bytes())
        except FileNotFoundError:
            return None
        if header != _HEADER or digest != self._sum_of(index, payload):
            if self._locks is not None:
                self._path(index).unlink(missing_ok=True)
            return None
        with np.load(io.BytesIO(payload)) as archive:
            return dict(archive)

    def finished(self) -> set[int]:
        """Indices of the chunks that are there; whether they are whole, `get` tells."""
        found = {int(name) for name in os.listdir(self.folder / "chunks") if name.isdigit()}
        return {index for index in found if index < self.chunks}

    def working(self) -> int:
        """How many chunks processes are at work on, as far as locks tell."""
        if fcntl is None:
            return 0
        count, descriptor = 0, os.open(self.folder / "locks", os.O_RDWR)
        for index in sorted(set(range(self.chunks)) - self.finished()):
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 1 + index)
                fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, 1 + index)
            except OSError:
                count += 1
        os.close(descriptor)
        return count

    def _sum_of(self, index: int, payload: bytes) -> bytes:
        """Of a chunk of this sweep in its place, so that one of another place or sweep is no chunk."""
        return _sum(f"{self._digest} {index} ".encode() + payload).encode()

    def _path(self, index: int) -> Path:
        return self.folder / "chunks" / f"{index:06d}"


class Memory:
    """The same in memory, for sweeps without a store."""

    def __init__(self, chunks: int) -> None:  # noqa: D107
        self.chunks, self._results, self._own, self._guard = chunks, {}, set(), threading.Lock()

    def claim(self, index: int) -> bool:
        """Whether nobody works on a chunk yet."""
        with self._guard:
            free = index not in self._own
            self._own.add(index)
            return free

    def put(self, index: int, results: dict[str, np.ndarray]) -> None:
        """Keep a finished chunk."""
        self._results[index] = results

    def get(self, index: int) -> dict[str, np.ndarray] | None:
        """The results of a chunk, None where it is missing."""
        return self._results.get(index)

    def release(self, index: int) -> None:
        """Give a claimed chunk back."""
        with self._guard:
            self._own.discard(index)

    def finished(self) -> set[int]:
        """Indices of the chunks that are there."""
        return set(self._results)

    def close(self) -> None:
        """Nothing to let go of."""


def _read(folder: Path) -> tuple[dict[str, Any], str, np.ndarray]:
    """The configuration, its SHA-256 and the order of the lanes, each as it was written."""
    try:
        stored, lanes = (folder / "sweep.json").read_bytes(), (folder / "lanes.npy").read_bytes()
        configuration = json.loads(stored)
        digest, lanes_digest = configuration.pop("sha256"), configuration.pop("sha256 of lanes.npy")
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"store {str(folder)!r} is damaged or of another version: {type(error).__name__}: {error}") from None
    if digest != _digest_of(configuration) or lanes_digest != _sum(lanes):
        raise ValueError(f"store {str(folder)!r} is damaged: sweep.json or lanes.npy is not what was written")
    return configuration, digest, np.load(io.BytesIO(lanes))


def _digest_of(configuration: dict[str, Any]) -> str:
    return _sum(json.dumps(configuration, sort_keys=True).encode())


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(path: Path, content: bytes) -> None:
    """A file, whole or not at all; where locks leave one writer at a time, an heir writes over what a killed one had begun."""
    part = path.with_name(f".{path.name}.part" if fcntl is not None else f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _split(content: bytes) -> tuple[bytes, bytes, bytes]:
    """Header, hexadecimal digest and payload of a chunk."""
    start = len(_HEADER) + 64
    return content[: len(_HEADER)], content[len(_HEADER) : start], content[start + 1 :]


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
