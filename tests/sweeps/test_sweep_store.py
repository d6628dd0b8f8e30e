"""The store: whole chunks or none, one worker a chunk, damage found, other sweeps refused, a full disk survived."""

import errno
import os
import resource
import signal

import numpy as np
import pytest

import ufm
from ufm.sweeps.store import Store

CONFIGURATION = {"function": "f", "chunks": 3, "versions": {"ufm": "1", "jax": "2"}}
ORDER = np.arange(6, dtype=np.uint32)
RESULTS = {"value": np.array([1.5, np.nan]), "rank": np.array([3, 0])}
RIDGES = {"l2_H": np.geomspace(1e-4, 1e-2, 8)}


def ridge(problem):
    return {"ridge": problem.l2_H, "root": problem.l2_H**0.5}


@pytest.fixture
def problem():
    return ufm.Problem.balanced(classes=3, per_class=1, widths=4, l2_W=1e-3, l2_H=1e-3)


@pytest.fixture
def store(tmp_path):
    opened = Store.create(tmp_path / "store", CONFIGURATION, ORDER)
    yield opened
    opened.close()


def same(a, b):
    return a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() and a[k].dtype == b[k].dtype for k in a)


def test_chunks_come_back_bit_for_bit(store):
    assert store.claim(1)
    store.put(1, RESULTS)
    assert same(store.get(1), RESULTS) and store.finished() == {1} and store.get(0) is None


def test_a_chunk_shows_only_when_it_is_whole_and_on_the_disk(store, monkeypatch):
    class Died(BaseException):
        pass

    def die(descriptor):
        assert os.fstat(descriptor).st_size > 300, "all of it is written"
        raise Died

    store.claim(0)
    monkeypatch.setattr("os.fsync", die)
    with pytest.raises(Died):
        store.put(0, RESULTS)
    monkeypatch.undo()
    assert store.finished() == set() and store.get(0) is None
    assert store.claim(0), "the claim is given back"


def test_equal_results_make_equal_files_but_for_the_sum_that_knows_their_place(store):
    for index in (0, 2):
        store.claim(index)
        store.put(index, RESULTS)
    a, b = ((store.folder / "chunks" / f"{i:06d}").read_bytes() for i in (0, 2))
    assert a[77:] == b[77:] and a[:12] == b[:12] and a[12:76] != b[12:76]


def test_a_chunk_in_the_place_of_another_or_of_another_sweep_is_no_chunk(store, tmp_path):
    store.claim(0)
    store.put(0, RESULTS)
    chunk = (store.folder / "chunks" / "000000").read_bytes()
    (store.folder / "chunks" / "000001").write_bytes(chunk)
    assert store.get(1) is None and store.get(0) is not None
    other = Store.create(tmp_path / "other", CONFIGURATION | {"function": "another"}, ORDER)
    (other.folder / "chunks" / "000000").write_bytes(chunk)
    assert other.get(0) is None
    other.close()


@pytest.mark.parametrize("name", ["sweep.json", "lanes.npy"])
def test_a_store_whose_description_is_damaged_is_refused(store, name):
    path = store.folder / name
    content = bytearray(path.read_bytes())
    place = content.index(b'"chunks": ') + 10 if name == "sweep.json" else len(content) - 1
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged"):
        Store(store.folder)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="is damaged"):
        Store(store.folder)


@pytest.mark.parametrize("place", [0, 20, 80, 90, 150, -1])
def test_one_flipped_bit_anywhere_in_a_chunk_is_found_and_the_chunk_removed(store, place):
    store.claim(0)
    store.put(0, RESULTS)
    path = store.folder / "chunks" / "000000"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert store.get(0) is None and store.finished() == set()
    assert store.claim(0), "the chunk is free to be computed again"


@pytest.mark.parametrize("length", [0, 5, 76, 77, 200])
def test_a_truncated_chunk_is_found(store, length):
    store.claim(0)
    store.put(0, RESULTS)
    os.truncate(store.folder / "chunks" / "000000", length)
    assert store.get(0) is None


def test_a_chunk_is_claimed_once_and_not_when_it_is_finished(store):
    assert store.claim(0) and not store.claim(0)
    store.release(0)
    assert store.claim(0)
    store.put(0, RESULTS)
    assert not store.claim(0)


def test_what_a_kill_left_half_written_is_swept_up(store):
    parts = [store.folder / "chunks" / name for name in (".000001.part", ".000001.99999.1", ".000000.part")]
    store.claim(0)
    store.put(0, RESULTS)
    for part in parts:
        part.write_bytes(b"half")
    Store.create(store.folder, CONFIGURATION, ORDER).close()
    assert not any(part.exists() for part in parts)


def test_who_inherits_a_chunk_writes_over_what_the_killed_one_had_begun(store, monkeypatch):
    assert store.claim(0)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(KeyboardInterrupt))  # killed in mid-write
        store.put(0, RESULTS)
    assert len(os.listdir(store.folder / "chunks")) == 1 and not store.finished()
    assert store.claim(0)
    store.put(0, RESULTS)  # no opening in between
    assert os.listdir(store.folder / "chunks") == ["000000"]


def test_a_store_of_another_version_is_refused_with_both_named(store):
    other = CONFIGURATION | {"versions": {"ufm": "1", "jax": "3"}}
    with pytest.raises(ValueError, match=r'another sweep \(versions: .*"jax": "2".* there, .*"jax": "3".* here\)'):
        Store.create(store.folder, other, ORDER)
    assert Store(store.folder).configuration == CONFIGURATION


def test_a_folder_without_a_sweep_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"store must be a folder that a sweep has written to, got .* without a sweep.json"):
        Store(tmp_path)


def test_a_sweep_resumes_and_a_damaged_chunk_is_computed_again(problem, tmp_path):
    first = ufm.sweep(ridge, problem, RIDGES, store=tmp_path, chunk=2)
    path = tmp_path / "chunks" / "000002"
    whole = path.read_bytes()
    path.write_bytes(whole[:-3] + b"???")
    second = ufm.sweep(ridge, problem, RIDGES, store=tmp_path, chunk=2)
    assert second.identical(first) and path.read_bytes() == whole
    assert ufm.sweeps.load(tmp_path).identical(first)
    assert ufm.sweep(ridge, problem, RIDGES, chunk=2).identical(first), "a store changes nothing"


def test_nothing_is_computed_that_is_stored(problem, tmp_path, monkeypatch):
    first = ufm.sweep(ridge, problem, RIDGES, store=tmp_path, chunk=2)
    monkeypatch.setattr("ufm.sweeps.program.Program.run", lambda *_: pytest.fail("computed again"))
    assert ufm.sweep(ridge, problem, RIDGES, store=tmp_path, chunk=2).identical(first)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"axes": {"l2_H": np.geomspace(1e-4, 2e-2, 8)}}, "axis l2_H"),
        ({"fn": lambda problem: {"ridge": problem.l2_H, "root": problem.l2_H**0.51}}, "programs"),
        ({"l2_W": 2e-3}, "problem"),
        ({"chunk": 4}, "chunk"),
    ],
)
def test_another_configuration_is_refused_and_the_store_left_as_it_was(problem, tmp_path, change, named):
    first = ufm.sweep(ridge, problem, RIDGES, store=tmp_path, chunk=2)
    other = problem.replace(l2_W=change.get("l2_W", problem.l2_W))
    with pytest.raises(ValueError, match=rf"another sweep \(.*{named}: .* there, .* here"):
        ufm.sweep(change.get("fn", ridge), other, change.get("axes", RIDGES), store=tmp_path, chunk=change.get("chunk", 2))
    assert ufm.sweeps.load(tmp_path).identical(first)


def test_a_part_of_a_sweep_loads_with_the_rest_marked(problem, tmp_path):
    ufm.sweep(ridge, problem, RIDGES, store=tmp_path, chunk=2)
    (tmp_path / "chunks" / "000001").unlink()
    part = ufm.sweeps.load(tmp_path)
    assert part["status"].values.tolist() == [0, 0, 5, 5, 0, 0, 0, 0]
    assert np.isnan(part["ridge"].values).tolist() == [False, False, True, True, False, False, False, False]


def test_a_full_disk_ends_the_sweep_with_a_sentence_and_an_intact_store(problem, tmp_path):
    """The size limit of files stands in for the disk: writes fail half-way, as on a full one."""
    whole = ufm.sweep(ridge, problem, RIDGES, chunk=2)
    ufm.sweep(ridge, problem, RIDGES, store=tmp_path, chunk=2)
    for index in (1, 3):
        (tmp_path / "chunks" / f"{index:06d}").unlink()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        with pytest.raises(OSError, match=r"no room for a chunk of \d+ bytes in .*: 2 of 4 chunks are stored and stay") as caught:
            ufm.sweep(ridge, problem, RIDGES, store=tmp_path, chunk=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.errno == errno.EFBIG
    assert sorted(os.listdir(tmp_path / "chunks")) == ["000000", "000002"], "nothing half-written is left"
    assert ufm.sweep(ridge, problem, RIDGES, store=tmp_path, chunk=2).identical(whole)
