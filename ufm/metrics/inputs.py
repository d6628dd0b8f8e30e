"""What comes into a metric: real numbers in at least float32, labels that are classes, and which axis is samples.

Half precision (float16, bfloat16, float8) is taken up to float32 before anything is added, and the answer has that dtype. NaN and
infinity are refused; under jit, where nothing can be refused, one of them makes the whole array NaN, and so the answer.
`samples_axis` says where the samples are: 1 for (d, N), 0 for (N, d), as torch has them. None is (d, N) wherever the shape
leaves no doubt, and refused where it does, at N = d. Give it in loops over batches, whose last may be square.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ufm.base.checks import check_count, check_positive, check_shape, is_traced, refuse


def floats(name: str, x: Any, shape: str, ndim: int = 2) -> jax.Array:
    """Finite floats in at least float32, all NaN if a traced entry is not finite, or a refusal.

    Args:
      name, x: of the array. shape: that it must have, in words. ndim: of that shape.

    Raises:
      ValueError: for what is no array of floats, of another number of axes, empty, or not finite.
    """
    given = as_array(name, x)
    if given.ndim != ndim or 0 in given.shape or not jnp.issubdtype(given.dtype, jnp.floating):
        raise ValueError(f"{name} must be floats of shape {shape}, got {dtype_name(given.dtype)} {given.shape}")
    return finite(name, _widened(given), given)


def finite(name: str, x: jax.Array, given: Any = None) -> jax.Array:
    """x, or a refusal where it is not finite; all NaN where it is traced.

    Args:
      name, x: of the array. given: what it was before conversion.
    """
    if is_traced(x):
        return jnp.where(jnp.all(jnp.isfinite(x)), x, jnp.nan)
    bad = x.size - int(np.count_nonzero(np.isfinite(np.asarray(x))))  # in NumPy: known numbers stay known under jit
    if bad and isinstance(given, np.ndarray) and np.all(np.isfinite(given)):
        raise ValueError(f"{name} must lie within the range of {x.dtype} (jax_enable_x64 widens it), got {bad} numbers beyond")
    if bad:
        raise ValueError(f"{name} must be finite, got {bad} NaN or infinite numbers")
    return x


def like(name: str, x: Any, dtype: Any, shape: tuple) -> jax.Array:
    """Finite numbers of a known shape in a known dtype, whole ones among them, or a refusal."""
    given = as_array(name, x)
    if not jnp.issubdtype(given.dtype, jnp.floating) and not jnp.issubdtype(given.dtype, jnp.integer):
        raise ValueError(f"{name} must be real numbers, got {dtype_name(given.dtype)}")
    check_shape(name, given, shape)
    return finite(name, jnp.asarray(given, jnp.promote_types(dtype, jnp.float32)), given)


def samples_as_columns(name: str, x: Any, samples: int, samples_axis: int | None) -> Any:
    """The matrix with samples as columns, (d, N), as it is or transposed; refused where its shape does not say which it has.

    Args:
      name, x: of the matrix. samples: N. samples_axis: 1 for (d, N), 0 for (N, d), None for (d, N) where d is not N.

    Raises:
      ValueError: for another axis, for N samples along neither or the other axis, and for a square matrix without an axis.
    """
    if samples_axis is not None and (isinstance(samples_axis, bool) or samples_axis not in (0, 1)):
        refuse("samples_axis", samples_axis, "1 for (d, N), samples as columns, 0 for (N, d), samples as rows, or None")
    shape = np.shape(x)
    if samples_axis is None and shape == (samples, samples):
        raise ValueError(
            f"samples_axis must be given where {name} are square, 1 for (d, N), samples as columns, 0 for (N, d), samples as rows: "
            f"got {shape}, which may be either"
        )
    if samples_axis is None and shape[0] == samples != shape[1]:
        raise ValueError(f"{name} must have samples as columns, shape (d, {samples}), got {shape}: give samples_axis=0 for rows")
    return x.T if samples_axis == 0 else x


def checked(
    features: Any, labels: Any, classes: int, multiplicity: Any, samples_axis: int | None
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Features (d, N), labels in int32 (-1 for what is no class) and multiplicities or None, that fit together, or a refusal."""
    features = floats("features", features, "(dim, samples)")
    check_count("classes", classes, 2)
    labels = _label_array(labels)
    if labels.shape not in [(n,) for n in features.shape]:
        check_shape("labels", labels, (features.shape[0 if samples_axis == 0 else 1],))
    features = samples_as_columns("features", features, labels.shape[0], samples_axis)
    labels = class_labels(labels, features.shape[1], classes)
    if multiplicity is None:
        return features, labels, None
    check_positive("multiplicity", multiplicity)
    return features, labels, like("multiplicity", multiplicity, features.dtype, labels.shape)


def class_labels(labels: Any, samples: int, classes: int, *, every: bool = True) -> jax.Array:
    """Labels (N,) in int32; -1 for a traced one that is no class, whatever its dtype.

    Args:
      labels: whole numbers. samples: N. classes: K. every: whether each class must have a sample.

    Raises:
      ValueError: for another shape, what is not whole numbers, and known labels that are no class or leave one out.
    """
    labels = _label_array(labels)
    check_shape("labels", labels, (samples,))
    if not is_traced(labels):
        present = set(np.unique(np.asarray(labels)).tolist())
        lost = [label for label in present if not 0 <= label < classes]
        if lost:
            refuse("labels", min(lost), f"from 0 to classes - 1 = {classes - 1}")
        missing = set(range(classes)) - present if every else ()
        if missing:
            raise ValueError(f"labels must contain every class, got no sample of class {min(missing)}")
        return jnp.asarray(np.asarray(labels).astype(np.int32))
    largest = min(classes - 1, jnp.iinfo(labels.dtype).max)  # a Python number must fit the dtype that it is compared in
    return jnp.where((labels >= 0) & (labels <= largest), labels.astype(jnp.int32), -1)


def power_of_two(x: jax.Array) -> jax.Array:
    """The power of two next to the largest modulus in x, 1 for zeros: divided by it, nothing rounds and squares stay in range.

    Args:
      x: any shape.

    Returns:
      Scalar without slope.
    """
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x)))
    usual = jnp.isfinite(largest) & (largest > 0)
    _, exponent = jnp.frexp(jnp.where(usual, largest, 1))
    return jnp.where(usual, jnp.ldexp(jnp.ones_like(largest), jnp.maximum(exponent - 1, jnp.finfo(x.dtype).minexp)), 1)


def as_array(name: str, x: Any) -> Any:
    """x as an array of NumPy, or of JAX where it is one; what cannot be read is refused in words."""
    if isinstance(x, jax.Array | np.ndarray):
        return x
    try:
        return jnp.asarray(x) if is_traced(x) else np.asarray(x)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} must be an array of numbers, got {type(x).__name__}: {error}") from None


def _label_array(labels: Any) -> Any:
    labels = as_array("labels", labels)
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"labels must be whole numbers, got {dtype_name(labels.dtype)}")
    return labels


def dtype_name(dtype: Any) -> str:
    """A dtype by its name, and what to do with the nameless one as which NumPy reads bfloat16."""
    if np.dtype(dtype) == np.dtype("V2"):
        return "raw two-byte numbers (|V2), as NumPy reads a saved bfloat16: view them as bfloat16 first"
    return str(dtype)


def _widened(x: Any) -> jax.Array:
    wide = jnp.promote_types(jax.dtypes.canonicalize_dtype(x.dtype), jnp.float32)
    with np.errstate(over="ignore"):  # numbers beyond float32 become infinite here and are refused in words
        return jnp.asarray(x, wide)
