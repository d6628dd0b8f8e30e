"""What a report must say of where it was made: versions, device, dtype, and whether the canary sings."""

import importlib.util
import os
import platform
from importlib.metadata import version

import jax
import jax.numpy as jnp

from ufm.base.canary import canary_sings
from ufm.base.programs import QUICK

# what a release of jaxlib takes (unknown flags abort it) to compile in half the time, at equal accuracy and speed of runs
_QUICK_FLAGS = {"0.10": ("--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1")}
# and in a third less again, where programs are many and their runs are short; the numbers are the same
_UNOPTIMISED = tuple(f"--{option}={value}" for option, value in QUICK.items())
_TAKES_UNOPTIMISED = ("0.10", "0.11", "0.12")


def prefer_quick_compilation(short_runs: bool = False) -> None:
    """Let XLA compile for the CPU in about half the time, before its first program; XLA_FLAGS of the user's own win."""
    os.environ.setdefault("XLA_FLAGS", quick_flags(short_runs))


def quick_flags(short_runs: bool = False) -> str:
    """XLA_FLAGS under which programs for the CPU compile in about half the time.

    Under `short_runs`, code is left unoptimised too, but where a library for accelerators is installed.
    """
    release = ".".join(version("jaxlib").split(".")[:2])
    flags: tuple[str, ...] = _QUICK_FLAGS.get(release, ())
    if short_runs and release in _TAKES_UNOPTIMISED and not any(map(importlib.util.find_spec, ("jax_plugins", "libtpu"))):
        flags += _UNOPTIMISED
    return " ".join(flags)


def describe_environment() -> dict[str, str]:
    """Versions of ufm, jax and jaxlib, the device, the default dtype, XLA flags and the canary's verdict."""
    device = jax.devices()[0]
    return {
        "ufm": version("ufm"),
        "jax": version("jax"),
        "jaxlib": version("jaxlib"),
        "python": platform.python_version(),
        "device": f"{device.platform} ({device.device_kind}) x {jax.device_count()}, {os.cpu_count()} cores",
        "dtype": jnp.dtype(jnp.result_type(float)).name,
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", "") or "none",
        "canary": "sings" if canary_sings() else "silent: compiled numbers are wrong",
    }
