"""What a report must say of where it was made: versions, device, dtype, and whether the canary sings."""

import os
import platform
from importlib.metadata import version

import jax
import jax.numpy as jnp

from ufm.canary import canary_sings


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
