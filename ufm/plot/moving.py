"""A flow in three dimensions as a moving picture: class means and classifier from the start to where they collapse."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from ufm.base.checks import check_choice, check_positive, refuse
from ufm.motion.trajectory import Trajectory
from ufm.plot.arrows import ELEVATION, clear_azimuth, draw_view
from ufm.plot.canvas import number, pyplot
from ufm.plot.points import longest, principal_directions, view_of
from ufm.problem import Problem

SUFFIXES = (".gif", ".html")


def animate(problem: Problem, trajectory: Trajectory, file: Any, *, seconds: float = 6.0, dpi: float = 80.0) -> Path:
    """Save a flow as an animation of features, class means and classifier rows in three dimensions, one frame a time.

    Every frame is what `geometry` draws, in the directions, units and limits of the last one that are fit for all.

    Args:
      problem: of the flow.
      trajectory: of `ufm.flow`; its times are the frames, so that times spaced evenly in what matters move evenly. Times that
        were not reached are left out.
      file: where to save it: .gif, or .html with a player.
      seconds: how long it plays. dpi: dots an inch of a picture of 8 x 5 inches.

    Returns:
      The path of the file.

    Raises:
      ValueError: for another suffix, a folder that does not exist, or fewer than two times that were reached.
    """
    pyplot()
    from matplotlib.animation import FuncAnimation, PillowWriter
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path = Path(file)
    check_choice("the suffix of file", path.suffix, SUFFIXES)
    if not path.resolve().parent.is_dir():
        refuse("file", str(file), "in a folder that exists")
    check_positive("seconds", seconds)
    check_positive("dpi", dpi)
    if not isinstance(trajectory, Trajectory):
        refuse("trajectory", type(trajectory).__name__, "a Trajectory, as ufm.flow gives it")
    reached = np.flatnonzero(np.isfinite(trajectory.value))
    if reached.size < 2:
        raise ValueError(f"trajectory must have reached at least 2 times, got {reached.size}")
    views = [view_of(problem, jax.tree.map(lambda x, i=i: x[i], trajectory.path)) for i in reached]
    directions = principal_directions(views[-1], 3)
    units = longest(views[-1].means), longest(views[-1].rows.T)
    sizes = [max(longest(v.features) / units[0], longest(v.rows.T) / units[1], 1.0) for v in views]
    figure = Figure(figsize=(8, 5), dpi=dpi)
    FigureCanvasAgg(figure)
    ax: Any = figure.add_axes((0.0, 0.11, 0.64, 0.82), projection="3d")
    ax.view_init(elev=ELEVATION, azim=clear_azimuth(directions.basis.T @ views[-1].means / units[0]))

    def show(frame: int) -> list[Any]:
        ax.clear()
        draw_view(ax, views[frame], directions, units, 1.2 * max(sizes))
        time, value = trajectory.ts[reached[frame]], trajectory.value[reached[frame]]
        ax.set_title(f"$t$ = {number(float(time))},  $f$ = {float(value):.6g}")
        return []

    frames_a_second: Any = reached.size / seconds  # any number will do, whatever matplotlib declares
    moving = FuncAnimation(figure, show, frames=int(reached.size), interval=1000 / frames_a_second)
    if path.suffix == ".gif":
        moving.save(path, writer=PillowWriter(fps=frames_a_second), dpi=dpi)
    else:
        page = moving.to_jshtml(fps=frames_a_second, embed_frames=True, default_mode="loop")
        path.write_text(f"<!doctype html>\n<meta charset='utf-8'>\n<title>Flow</title>\n{page}", encoding="utf-8")
    return path
