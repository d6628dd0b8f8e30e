"""Row: one line of the table, and the numbers behind it."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """What one method did on one case of a workload.

    workload: "W1". case: the sizes, "M=3 K=4 n=100 d=64". method: "ufm", "torch L-BFGS".
    compile_s: seconds to trace and compile, apart from the rest; None where nothing is compiled.
    wall_s, cpu_s: seconds of one configuration (a minimum, a trajectory), wall and CPU time of the process.
    gap: (value - exact minimum) / exact minimum, in float64; None where no minimum is sought.
    figure, unit: the number that the row is about where it is not a time, "coherence / Welch bound".
    dtype, threads, device: of the computation; the harness fills in threads that are None with those of the run.
    note: what else must be known, such as "not installed". limited: stopped at the limit, so that its times are lower bounds.
    """

    workload: str
    case: str
    method: str
    wall_s: float | None = None
    cpu_s: float | None = None
    compile_s: float | None = None
    gap: float | None = None
    figure: float | None = None
    unit: str = ""
    dtype: str = "float64"
    threads: int | None = None
    device: str = "cpu"
    note: str = ""
    limited: bool = False

    def to_json(self) -> dict[str, Any]:
        """All fields; what is not finite as text, which JSON lacks otherwise."""
        fields = dataclasses.asdict(self)
        return {k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in fields.items()}


def not_installed(workload: str, case: str, method: str, package: str) -> Row:
    """The row of a peer that is not there."""
    return Row(workload, case, method, note=f"{package} is not installed")
