"""Results of a sweep from its folder, also while it is still at work."""

from pathlib import Path
from typing import TYPE_CHECKING

from ufm.base.status import Status
from ufm.sweeps.dataset import dataset_of
from ufm.sweeps.layout import Layout
from ufm.sweeps.run import attributes
from ufm.sweeps.store import Store

if TYPE_CHECKING:
    import xarray


def load(folder: str | Path, *, keep_failed: bool = False) -> "xarray.Dataset":
    """The Dataset of a store; points that are not there yet, or whose chunk is damaged, have the status NOT_RUN.

    Args:
      folder: of a sweep. keep_failed: as for `ufm.sweep`.

    Raises:
      ValueError: for a folder without a sweep, damaged itself, or of a version whose statuses meant something else.
    """
    store = Store(Path(folder))
    for name, number in store.configuration.get("statuses", {None: None}).items():
        if Status.__members__.get(name) != number:
            raise ValueError(f"store {str(store.folder)!r} is of a version whose statuses had other meanings: sweep again")
    layout = Layout.from_json(store.configuration)
    results = [store.get(i) for i in range(store.chunks)]
    return dataset_of(layout, results, store.order, attributes(store.configuration), keep_failed)
