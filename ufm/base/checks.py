"""Refusals: sentences that name the argument, the value given and what is allowed.

Values under a JAX transformation are not known yet: they skip the value checks here, never the shape checks.
"""

import importlib
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

AnyArray = jax.Array | np.ndarray  # what is known stays NumPy, what is traced is JAX's
AnyNumber = AnyArray | np.number | float  # one number of either
MANY = 10**6  # of what a call does one after another: cases, starts, epochs; more is a slip of the hand


def x64_is_on() -> bool:
    """Whether Python floats become float64 here and now."""
    return jnp.result_type(float) == np.float64


def is_traced(*values: Any) -> bool:
    """Whether any leaf of the values is a tracer, whose number is not known yet."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))


def array_module(*values: Any) -> Any:
    """NumPy for values that are known, jax.numpy for traced ones: known arrays then cost no compilation of small programs."""
    return jnp if is_traced(*values) else np


def refuse(name: str, value: Any, allowed: str) -> NoReturn:
    """Raise the ValueError that every refusal of ufm is: argument, what is allowed, value given."""
    if is_traced(value):
        shown = "a traced value"
    elif isinstance(value, jax.Array | np.ndarray):
        shown = np.array2string(np.asarray(value), threshold=8)
    else:
        shown = repr(value)
    raise ValueError(f"{name} must be {allowed}, got {shown}")


def check_choice(name: str, value: Any, allowed: tuple) -> None:
    """Refuse a value outside a short list of choices."""
    if value not in allowed:
        refuse(name, value, "one of " + ", ".join(repr(choice) for choice in allowed))


def check_count(name: str, value: Any, least: int, most: int | None = None) -> None:
    """Refuse anything but a whole number of at least `least`, and at most `most` where there is one."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        refuse(name, value, f"a whole number of at least {least}" + ("" if most is None else f" and at most {most}"))


def check_seed(name: str, value: Any) -> None:
    """Refuse anything but a whole number that random keys of 32 bits tell from all others."""
    check_count(name, value, 0, 2**32 - 1)


def check_key(name: str, value: Any, other: str = "") -> None:
    """Refuse anything but one random key of JAX, typed or raw; `other` is what else may be in its place."""
    dtype = getattr(value, "dtype", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key) and value.ndim == 0
    if not typed and not (dtype == np.uint32 and value.ndim == 1):
        refuse(name, value, f"a random key, such as jax.random.key(0){other}")


def optional(module: str, extra: str) -> Any:
    """A module that only some of ufm needs, or a refusal that names the extra to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if (error.name or "").split(".")[0] != module.split(".")[0]:  # it is there, but broken
            raise
        raise ValueError(f"{module.split('.')[0]} is not installed: pip install 'ufm[{extra}]'") from None


def refuse_traced(name: str, *values: Any) -> None:
    """Refuse values whose numbers are not known yet, where work is done in NumPy."""
    if is_traced(values):
        raise ValueError(f"{name} must be known numbers, got traced ones: call it outside jit, vmap and grad")


def check_positive(name: str, value: Any) -> None:
    """Refuse numbers that are not finite and above zero (traced values pass)."""
    _check_numbers(name, value, "finite and above 0", lambda x: np.isfinite(x) & (x > 0))


def check_non_negative(name: str, value: Any) -> None:
    """Refuse numbers that are not finite and at least zero (traced values pass)."""
    _check_numbers(name, value, "finite and at least 0", lambda x: np.isfinite(x) & (x >= 0))


def check_finite(name: str, value: Any) -> None:
    """Refuse NaN and infinities (traced values pass)."""
    _check_numbers(name, value, "finite", np.isfinite)


def check_shape(name: str, value: Any, shape: tuple) -> None:
    """Refuse an array of another shape."""
    if np.shape(value) != shape:
        raise ValueError(f"{name} must have shape {shape}, got {np.shape(value)}")


def common_float_dtype(*values: Any) -> Any:
    """The floating dtype shared by the arrays among the values, as JAX takes them (float64 of NumPy is float32 with x64 off).

    JAX's default float where there is none.

    Raises:
      ValueError: where two floating dtypes meet, since one of them would be cast silently.
    """
    found = {x.dtype for x in jax.tree.leaves(values) if hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)}
    dtypes = {jax.dtypes.canonicalize_dtype(dtype) for dtype in found}
    if len(dtypes) > 1:
        raise ValueError(f"the arrays must share one floating dtype, got {', '.join(sorted(map(str, dtypes)))}")
    return dtypes.pop() if dtypes else jax.dtypes.canonicalize_dtype(jnp.result_type(float))


def check_tolerance(tolerance: float, dtype: Any) -> None:
    """Refuse a tolerance that arithmetic in `dtype` cannot reach."""
    floor = 4 * float(jnp.finfo(dtype).eps)
    if not is_traced(tolerance) and not float(tolerance) >= floor:
        refuse("tolerance", float(tolerance), f"at least {floor:.1e} in {jnp.dtype(dtype).name} (use float64 for less)")


def _check_numbers(name: str, value: Any, allowed: str, good: Any) -> None:
    if is_traced(value):
        return
    try:
        numbers = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        refuse(name, value, allowed)
    if not np.all(good(numbers)):
        refuse(name, value, allowed)


def known(x: jax.Array) -> Any:
    """A NumPy view of an array whose numbers are known, a tracer as it is."""
    return array_module(x).asarray(x)


def brief(x: Any) -> str:
    """A number or array as a reader would write it."""
    if is_traced(x):
        return "traced"
    values = np.unique(np.asarray(x))
    return f"{values[0]:g}" if values.size == 1 else f"({', '.join(f'{v:g}' for v in np.ravel(x))})"
