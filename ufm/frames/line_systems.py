"""Gram matrices of real equiangular tight frames: conference, symplectic, harmonic, Steiner and Golay constructions.

Each takes (K, d) and returns the (K, K) Gram matrix of K unit vectors in d dimensions at |cosine| of Welch's bound, or None
where it has none: whole-number combinatorics in NumPy, no stored frames.
"""

import math

import numpy as np


def conference(vectors: int, dim: int) -> np.ndarray | None:
    """(q + 1, (q + 1)/2), q a prime of 4 k + 1: I + C/sqrt(q) with Paley's symmetric conference matrix C, C^2 = q I.

    Source: van Lint and Seidel (1966).
    """
    q = vectors - 1
    if vectors != 2 * dim or q % 4 != 1 or not _is_prime(q):
        return None
    return np.eye(vectors) + _paley(q) / math.sqrt(q)


def symplectic(vectors: int, dim: int) -> np.ndarray | None:
    """(2^(m-1) (2^m +- 1), d): points of a quadric over GF(2) in 2 m dimensions under the signs of its bilinear form.

    F = (-1)^B(x, y) on the zeros (other points) of q(x) = sum_i x_i x_(i+m) has F^2 = 2^(2m-1) I +- 2^(m-1) F, thus two
    eigenvalues, and each eigenspace holds a tight frame: (10, 5), (28, 7), (28, 21), (36, 15), (36, 21), (120, 35), ...

    Source: Seidel (1976), A survey of two-graphs.
    """
    for m in range(2, max(2, vectors.bit_length()) + 1):
        half = 2 ** (m - 1)
        for sign in (1, -1):
            if vectors != half * (2 * half + sign):
                continue
            low, high = -sign * half, 2 * sign * half  # the two eigenvalues of F
            rank = vectors * (1 - low) // (high - low)
            if dim not in (rank, vectors - rank):
                return None
            x, q, B = _quadric(m)
            F = 1 - 2 * B[np.ix_(q == (sign < 0), q == (sign < 0))]
            shift, scale = (low, high - low) if dim == rank else (high, low - high)
            return (F - shift * np.eye(vectors)) * (vectors / (dim * scale))
    return None


def harmonic(vectors: int, dim: int) -> np.ndarray | None:
    """(4^m, 2^(m-1) (2^m +- 1)): characters of GF(2)^(2m) restricted to the zeros or the other points of a quadric.

    (16, 6), (16, 10), (64, 28), (64, 36), ...

    Source: Xia, Zhou and Giannakis (2005), difference sets; Ding and Feng (2007).
    """
    m = (vectors.bit_length() - 1) // 2
    half = 2 ** max(m - 1, 0)
    if vectors != 4**m or m < 2 or dim not in (half * (2 * half - 1), half * (2 * half + 1)):
        return None
    x, q, _ = _quadric(m)
    rows = 1 - 2 * (x[q == (dim < vectors - dim)] @ x.T % 2)
    return rows.T @ rows / dim


def steiner(vectors: int, dim: int) -> np.ndarray | None:
    """(v^2, v (v - 1)/2), v - 1 a prime of 4 k + 3: pairs of v points against Paley's Hadamard matrix of order v.

    (16, 6), (64, 28), (144, 66), (400, 190), ...

    Source: Fickus, Mixon and Tremain (2012), Steiner equiangular tight frames.
    """
    v = math.isqrt(vectors)
    if v * v != vectors or 2 * dim != v * (v - 1) or (v - 1) % 4 != 3 or not _is_prime(v - 1):
        return None
    hadamard = np.eye(v) + _paley(v - 1)
    rows = np.zeros((dim, v, v))
    seen = np.ones(v, int)  # every point spends the rows of the Hadamard matrix but the first on its pairs
    for row, (i, j) in enumerate(zip(*np.triu_indices(v, 1), strict=True)):
        for point in (i, j):
            rows[row, point] = hadamard[seen[point]]
            seen[point] += 1
    columns = rows.reshape(dim, vectors)
    return columns.T @ columns / (v - 1)


def golay(vectors: int, dim: int) -> np.ndarray | None:
    """(276, 23), pairs of vectors of the Leech lattice with one sum, and the 176 of them in 22 dimensions.

    With v = (5, 1^23) the lines are 2 a - v for a = (4, 4 at i, 0^22) and a = 2 on an octad through the first point.

    Source: Conway (1969); Taylor (1971), both as in Goethals and Seidel (1975), The regular two-graph on 276 vertices.
    """
    if (vectors, dim) not in ((276, 23), (176, 22)):
        return None
    points, blocks = np.full((23, 24), -1), _golay_blocks()
    points[:, 0] = 3
    points[:, 1:] += 8 * np.eye(23, dtype=int)
    octads = np.concatenate([np.full((253, 1), -1), 4 * blocks - 1], axis=1)
    # the lines orthogonal to the difference of the first two axes are the octads without the second point
    lines = np.concatenate([points, octads]) if dim == 23 else octads[blocks[:, 0] == 0]
    return lines @ lines.T / 80


def _paley(q: int) -> np.ndarray:
    """[[0, 1], [+-1, chi(i - j)]] with the quadratic character of the prime q: symmetric for q = 4 k + 1, else skew."""
    chi = -np.ones(q)
    chi[np.arange(1, q) ** 2 % q] = 1
    chi[0] = 0
    matrix = np.zeros((q + 1, q + 1))
    matrix[0, 1:] = 1
    matrix[1:, 0] = chi[-1]
    matrix[1:, 1:] = chi[(np.arange(q)[:, None] - np.arange(q)[None, :]) % q]
    return matrix


def _quadric(m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points x of GF(2)^(2m), q(x) = sum_i x_i x_(i+m) and B(x, y) = q(x + y) + q(x) + q(y)."""
    x = (np.arange(4**m)[:, None] >> np.arange(2 * m)[None, :]) & 1
    left, right = x[:, :m], x[:, m:]
    return x, np.sum(left * right, axis=1) % 2, (left @ right.T + right @ left.T) % 2


def _golay_blocks() -> np.ndarray:
    """The 253 words of weight 7 of the binary Golay code of length 23: blocks of the Steiner system S(4, 7, 23)."""
    generator = np.zeros(23, int)
    generator[[0, 1, 5, 6, 7, 9, 11]] = 1  # 1 + x + x^5 + x^6 + x^7 + x^9 + x^11
    shifts = np.stack([np.roll(generator, s) for s in range(12)])
    messages = (np.arange(2**12)[:, None] >> np.arange(12)[None, :]) & 1
    words = messages @ shifts % 2
    return words[words.sum(axis=1) == 7]


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % divisor for divisor in range(2, math.isqrt(n) + 1))


CONSTRUCTIONS = (conference, symplectic, harmonic, steiner, golay)
