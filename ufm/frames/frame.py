"""Frame: K vectors in d dimensions, with the figures by which frames are judged."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from ufm.base.checks import is_traced
from ufm.frames.figures import HIGHEST, coherence, signed_coherence, tightness, welch_bound


@partial(jax.tree_util.register_dataclass, data_fields=("vectors",), meta_fields=())
@dataclass(frozen=True, eq=False)
class Frame:
    """K vectors as the columns of an array, as class means are stored everywhere in ufm; a pytree of that array.

    vectors: shape (d, K).
    """

    vectors: jax.Array

    @property
    def dim(self) -> int:
        """d, the number of dimensions."""
        return self.vectors.shape[0]

    @property
    def size(self) -> int:
        """K, the number of vectors."""
        return self.vectors.shape[1]

    @property
    def gram(self) -> jax.Array:
        """(K, K) inner products."""
        return jnp.matmul(self.vectors.T, self.vectors, precision=HIGHEST)

    @property
    def norms(self) -> jax.Array:
        """(K,) lengths."""
        return jnp.linalg.norm(self.vectors, axis=0)

    @property
    def coherence(self) -> jax.Array:
        """Largest |cosine| between two vectors: `ufm.frames.coherence`."""
        return coherence(self.vectors)

    @property
    def signed_coherence(self) -> jax.Array:
        """Largest cosine between two vectors: `ufm.frames.signed_coherence`."""
        return signed_coherence(self.vectors)

    @property
    def welch_bound(self) -> float:
        """The least coherence that K unit vectors in d dimensions can have: `ufm.frames.welch_bound`."""
        return welch_bound(self.size, self.dim)

    @property
    def welch_ratio(self) -> jax.Array:
        """Coherence over the Welch bound, at least 1; 1 for orthogonal vectors and infinity for others where the bound is 0."""
        if self.welch_bound > 0:
            return self.coherence / self.welch_bound
        floor = self.dim * jnp.finfo(self.vectors.dtype).eps
        return jnp.where(self.coherence <= floor, 1.0, jnp.inf).astype(self.vectors.dtype)

    @property
    def tightness(self) -> jax.Array:
        """Distance to a tight frame: `ufm.frames.tightness`."""
        return tightness(self.vectors)

    @property
    def sparsity(self) -> jax.Array:
        """Share of entries that are exactly zero."""
        return jnp.mean((self.vectors == 0).astype(self.vectors.dtype))

    def __repr__(self) -> str:
        shape = f"{self.size} vectors in {self.dim} dimensions" if jnp.ndim(self.vectors) == 2 else "vectors"
        if is_traced(self.vectors) or jnp.ndim(self.vectors) != 2 or self.size < 2:
            return f"Frame({shape})"
        ratio = "" if self.welch_bound == 0 else f", {self.welch_ratio:.6g} of the Welch bound"
        tight = float(self.tightness)
        tight = 0.0 if tight < 1e-6 else tight
        return f"Frame({shape}: coherence {self.coherence:.6g}{ratio}; tightness {tight:.3g}; zeros {self.sparsity:.3g})"
