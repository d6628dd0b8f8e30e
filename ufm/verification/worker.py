"""Worker: a process of Python beside this one that runs verification, quickly compiled, and ends with it.

Tasks and results travel pickled through its pipes. It imports this module alone, and never runs the script that asked for it; it
is in a session of its own, so that Ctrl-C reaches the one who asked alone.
"""

import gc
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from ufm.base.environment import quick_flags


class Worker:
    """A process that carries out one task after another."""

    def __init__(self) -> None:
        """Start it; it is up when the first task is answered."""
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        environment = {"XLA_FLAGS": quick_flags(short_runs=True)} | os.environ | {"PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"}
        command = [sys.executable, "-c", f"from {__name__} import serve; serve()"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True
        )

    def __call__(self, task: Callable, *arguments: Any) -> Any:
        """What the task returns there.

        Args:
          task: a function of a module of ufm; it and its arguments are pickled.

        Raises:
          RuntimeError: where the process ended before it answered; whatever the task raised.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            pickle.dump((task, arguments), self._process.stdin)
            self._process.stdin.flush()
            result, error = pickle.load(self._process.stdout)
        except (EOFError, OSError):
            raise RuntimeError(f"a process of ufm ended with code {self._process.wait()} in {task.__name__}{arguments}") from None
        if error is not None:
            raise error
        return result

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.communicate()


def serve() -> None:
    """Carry out tasks from stdin and write results to stdout, until there are no more; what tasks print goes to stderr."""
    results = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.stdout = sys.stderr  # by lines: what waited in a block would be lost where the process is ended
    _collect_rarely()
    while True:
        try:
            task, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        result, failure = None, None
        try:
            result = task(*arguments)
        except Exception as error:
            failure = error
        try:
            pickle.dump((result, failure), results)
            results.flush()
        except BrokenPipeError:  # who asked has gone
            return


def _collect_rarely() -> None:
    """Tracing makes many objects and few cycles: Python's collector would take a tenth of the time to find that out."""
    gc.freeze()
    gc.set_threshold(200_000, 50, 50)
