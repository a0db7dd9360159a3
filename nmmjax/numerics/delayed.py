"""Linear equations with delays: characteristic roots, and how many there are.

    ẋ_i = A_i x_i(t) + b_i Σ_j M_ij s_j·x_j(t − D_ij),    N(λ) = λ − A − B (M∘e^(−λD)) S,    roots: det N(λ) = 0

Nodes i, j see each other through one signal each, u_j = s_j·x_j. With h_j(λ) = s_j·(λ − A_j)⁻¹ b_j the determinant is
Π det(λ − A_i) · det T(λ), T = 1 − (M∘e^(−λD)) diag h, a matrix of the size of the number of nodes.

Roots are first eigenvalues of the generator of the flow of histories, on Chebyshev's points of every sender's past (Breda,
Maset & Vermiglio, SIAM J. Sci. Comput. 27:482, 2005), then refined on N(λ) itself, to rounding. How many lie right of a line
the argument principle tells, without knowing one of them: so it can be proved that none is missing.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Scalar, Values

_REFINE = 12  # steps of the refinement, which converges cubically
_SAME = 1e-7  # relative distance below which two roots are one
_TURN, _OFF = 1.0, 0.2  # largest change of the phase of det T over an interval, and of that from what its slopes tell
_FIRST, _MOST = 65, 20_000  # points on the line at first and at most
_SHIFTS = 8  # times that a default line is moved left until roots lie right of it
_FINEST = 1e-11  # shortest interval on the line, relative to its length
_WORK = 3e11  # operations that counting may take: 30 to 60 s
_BATCH = 2**21  # entries of matrices that are treated at once


class Delayed(eqx.Module):
    """The equations above: `A` (n, m, m), `b` (n, m), `s` (n, m), `M` (n, n), `D` (n, n), row receives."""

    A: Values
    b: Values
    s: Values
    M: Values
    D: Values

    @property
    def size(self) -> int:
        """The number of unknowns at one time, n m."""
        return self.b.size

    def present(self) -> Values:
        """A of all nodes, (n m, n m), the first variable of all nodes first."""
        return _spread(self.A)

    def matrix(self, rate: Any) -> tuple[Any, Any]:
        """N(λ) and N′(λ) at one complex `rate`, (n m, n m)."""
        M, D = self.M.astype(rate.dtype), self.D.astype(rate.dtype)
        late, one = M * jnp.exp(-rate * D), jnp.eye(self.size, dtype=rate.dtype)
        return rate * one - self.present().astype(rate.dtype) - self._through(late), one + self._through(D * late)

    def oscillating(self, omega: Scalar, a: Values, b: Values) -> tuple[Values, Values]:
        """Real and imaginary part of N(iω) (a + i b), (n m,), in real numbers."""
        n, m = self.b.shape
        real, imag = a.reshape(m, n).T, b.reshape(m, n).T
        send = lambda x: jnp.sum(self.s * x, axis=1)
        cos, sin = self.M * jnp.cos(omega * self.D), self.M * jnp.sin(omega * self.D)
        into = lambda x, c: jnp.einsum("iab,ib->ia", self.A, x) + self.b * c[:, None]
        first = -omega * imag - into(real, cos @ send(real) + sin @ send(imag))
        second = omega * real - into(imag, cos @ send(imag) - sin @ send(real))
        return first.T.ravel(), second.T.ravel()

    def _through(self, late: Any) -> Any:
        n, m = self.b.shape
        return jnp.einsum("ia,ij,jb->aibj", self.b.astype(late.dtype), late, self.s.astype(late.dtype)).reshape(n * m, n * m)

    def undelayed(self) -> Values:
        """The Jacobian if all delays were 0, (n m, n m), in the same order."""
        return self.present() + self._through(self.M)


def _spread(A: Any) -> Any:
    n, m, _ = A.shape
    return (jnp.eye(n, dtype=A.dtype)[None, :, None, :] * A.transpose(1, 0, 2)[:, :, :, None]).reshape(n * m, n * m)


def chebyshev(count: int) -> np.ndarray:
    """Differentiation on the count + 1 Chebyshev points from 1 to −1 (Trefethen, Spectral Methods in MATLAB, 2000)."""
    x = np.cos(np.pi * np.arange(count + 1) / count)
    ends = np.where((np.arange(count + 1) == 0) | (np.arange(count + 1) == count), 2.0, 1.0) * (-1.0) ** np.arange(count + 1)
    D = np.outer(ends, 1 / ends) / (x[:, None] - x[None] + np.eye(count + 1))
    return D - np.diag(D.sum(axis=1))


def chebyshev_weights(count: int, x: Values) -> Values:
    """Values of Lagrange's polynomials of these points at `x` (…), (…, count + 1), by the barycentric formula."""
    points = jnp.asarray(np.cos(np.pi * np.arange(count + 1) / count), x.dtype)
    ends = (-1.0) ** np.arange(count + 1)
    ends[[0, -1]] /= 2
    away = x[..., None] - jnp.broadcast_to(points, (*x.shape, count + 1))
    at = jnp.abs(away) < 4 * jnp.finfo(x.dtype).eps
    shares = jnp.broadcast_to(jnp.asarray(ends, x.dtype), away.shape) / jnp.where(at, 1, away)
    shares = shares / jnp.sum(shares, axis=-1, keepdims=True)
    return jnp.where(jnp.any(at, axis=-1, keepdims=True), at.astype(x.dtype), shares)


def generator(linear: Delayed, count: int) -> Values:
    """The generator of the flow of histories, (n m + n `count`, …): x first, as in `Delayed.present`, then of every point
    of the past but the present one the signals of all nodes."""
    n, m = linear.b.shape
    k, dtype = n * m, linear.A.dtype
    reach = jnp.max(jnp.where(linear.M != 0, linear.D, 0), axis=0)  # of a sender's past
    longest = jnp.max(reach)
    reach = jnp.maximum(reach, jnp.where(longest > 0, 1e-3 * longest, 1))
    slopes = jnp.asarray(chebyshev(count), dtype)[1:, :, None] * (2 / reach)[None, None]  # (count, count + 1, n)
    place = jnp.clip(1 - 2 * linear.D / reach[None], -1, 1)  # 1 now, −1 at the end of the past
    taps = linear.M[:, :, None] * chebyshev_weights(count, place)  # (n, n, count + 1)
    sends = (jnp.eye(n, dtype=dtype)[:, None] * linear.s.T[None]).reshape(n, k)  # u = sends x
    into = lambda rows: (linear.b.T[:, :, None] * rows[None]).reshape(k, -1)  # b_i times rows (n, …)
    upper = linear.present() + into(taps[:, :, 0] @ sends)
    past = into(jnp.swapaxes(taps[:, :, 1:], 1, 2).reshape(n, count * n))
    eye = jnp.eye(n, dtype=dtype)
    lower = (slopes[:, 0, :, None] * sends[None]).reshape(count * n, k)
    inner = jnp.einsum("abj,ij->aibj", slopes[:, 1:], eye).reshape(count * n, count * n)
    return jnp.concatenate([jnp.concatenate([upper, past], 1), jnp.concatenate([lower, inner], 1)])


class Problem(NamedTuple):
    """The equations in NumPy and double precision."""

    A: np.ndarray
    b: np.ndarray
    s: np.ndarray
    M: np.ndarray
    D: np.ndarray

    @property
    def longest(self) -> float:
        """The longest delay on which a weight lies."""
        return float(np.max(np.where(self.M != 0, self.D, 0.0), initial=0.0))

    def matrix(self, rate: complex) -> tuple[np.ndarray, np.ndarray]:
        """N(λ) and N′(λ), (n m, n m)."""
        n, m = self.b.shape
        late = self.M * np.exp(-rate * self.D)
        through = lambda late: np.einsum("ia,ij,jb->aibj", self.b, late, self.s).reshape(n * m, n * m)
        present, one = np.einsum("ij,iab->aibj", np.eye(n), self.A).reshape(n * m, n * m), np.eye(n * m)
        return rate * one - present - through(late), one + through(self.D * late)

    def reduced(self, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """T(λ), T′(λ), (k, n, n), and h (k, n), at `rates` (k,)."""
        m = self.b.shape[1]
        inner = rates[:, None, None, None] * np.eye(m) - self.A
        right = np.broadcast_to(self.b[..., None] + 0j, (*inner.shape[:3], 1))
        once = np.linalg.solve(inner, right)
        twice = np.linalg.solve(inner, once)
        h, slope = np.sum(self.s * once[..., 0], axis=-1), -np.sum(self.s * twice[..., 0], axis=-1)
        late = self.M * np.exp(-rates[:, None, None] * self.D)
        return np.eye(self.M.shape[0]) - late * h[:, None], late * (self.D * h[:, None] - slope[:, None]), h


def problem(linear: Delayed) -> Problem:
    """The equations of `linear`, known numbers."""
    return Problem(*(np.asarray(each, float) for each in (linear.A, linear.b, linear.s, linear.M, linear.D)))


class Refined(NamedTuple):
    """Roots (k,), the signals of all nodes along each, (k, n), of size 1, and the last change of each, (k,)."""

    roots: Any
    modes: Any
    change: np.ndarray


def refine(equations: Problem, guesses: Any) -> Refined:
    """Distinct roots near the guesses, by Rayleigh's quotients of N(λ) with the null vectors of either side."""
    n, m = equations.b.shape
    start = np.random.default_rng(0).standard_normal((2, n * m)) + 0j
    roots, modes, changes = [], [], []
    longest = 0.5 / max(equations.longest, 1e-300)  # step
    for root in guesses:
        right, left = start
        change = np.inf
        for _ in range(_REFINE):
            matrix, slope = equations.matrix(root)
            try:
                inverse = np.linalg.inv(matrix)
            except np.linalg.LinAlgError:  # a root to the last digit
                inverse = np.linalg.inv(matrix + 1e-14 * np.linalg.norm(matrix) * np.eye(n * m))
            right, left = inverse @ right, inverse.conj().T @ left
            right, left = right / np.linalg.norm(right), left / np.linalg.norm(left)
            below = np.vdot(left, slope @ right)
            if below == 0:
                break
            step = np.vdot(left, matrix @ right) / below
            change = abs(step)
            root = root - step * min(1.0, longest / max(change, 1e-300))
            if change < 1e-14 * (1 + abs(root)):
                break
        if change > 1e-9 * (1 + abs(root)):
            continue
        if all(abs(root - other) > _SAME * (1 + abs(root)) for other in roots):
            sent = np.sum(equations.s * right.reshape(m, n).T, axis=1)
            size = sent[np.argmax(np.abs(sent))]
            roots.append(root)
            modes.append(sent / (size if abs(size) > 0 else 1.0))
            changes.append(change)
    return Refined(np.array(roots, complex), np.array(modes, complex).reshape(len(roots), n), np.array(changes, float))


def multiplicity(equations: Problem, root: complex, others: Any) -> int:
    """How many roots fall together at one: the turns of det N on a circle around it that holds no other."""
    apart = np.min(np.abs(others - root), initial=1.0)
    circle = np.exp(2j * np.pi * (np.arange(32) + 0.5) / 32)
    radius = min(0.2 * apart, 1e-2)
    total = 0.0
    for each in circle:
        matrix, slope = equations.matrix(root + radius * each)
        total += (radius * each * np.trace(np.linalg.solve(matrix, slope))).real / 32
    return max(1, round(total))


def count_right_of(equations: Problem, line: float, work: float = _WORK) -> int | None:
    """How many roots, by their multiplicity, have a real part above `line`; None if a root lies on it to rounding, or if to
    know takes more than `work` operations.

    Zeros less poles of det T are its turns around the half-plane; the poles are eigenvalues of the A_i. Beyond a radius at
    which the spectral radius of 1 − T is bounded below 1 there is none, and log det T is a power series. On the line the
    phase is followed over intervals that are halved until it changes by less than 1, as its slopes at both ends tell.
    """
    n = equations.M.shape[0]
    poles: Any = np.linalg.eigvals(equations.A)
    top = _beyond(equations, line)
    at = top * np.sinh(np.linspace(0, 6, _FIRST)) / np.sinh(6)
    budget = min(_MOST, int(work / (30 * n**3 + 3000 * n**2)))
    if budget < 2 * _FIRST:
        return None
    phase, slope = _phases(equations, line, at)
    turned, used = 0.0, at.size
    left, right = np.stack([at[:-1], phase[:-1], slope[:-1]]), np.stack([at[1:], phase[1:], slope[1:]])
    while left.shape[1]:
        width = right[0] - left[0]
        told = width * (left[2] + right[2]) / 2
        change = np.angle(np.exp(1j * (right[1] - left[1])))
        bound = width * np.maximum(np.abs(left[2]), np.abs(right[2]))
        fine = (bound < _TURN) & (np.abs(change - told) < _OFF)
        turned += float(change[fine].sum())
        left, right, width = left[:, ~fine], right[:, ~fine], width[~fine]
        used += width.size
        if used > budget or np.any(width < _FINEST * top) or not np.all(np.isfinite(width)):
            return None
        if width.size:
            middle = (left[0] + right[0]) / 2
            between = np.stack([middle, *_phases(equations, line, middle)])
            left, right = np.concatenate([left, between], axis=1), np.concatenate([between, right], axis=1)
    T, _, _ = equations.reduced(np.array([line + 1j * top]))
    closing = float(np.sum(np.angle(np.linalg.eigvals(T[0]))))
    number = float(np.sum(poles.real > line) + (closing - turned) / np.pi)
    return round(number) if abs(number - round(number)) < 1e-3 and number > -0.5 else None


def _phases(equations: Problem, line: float, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """arg det T at line + i `at`, and its slope."""
    phase, slope = np.zeros(at.size), np.zeros(at.size)
    chunk = max(1, _BATCH // equations.M.size)
    for k in range(0, at.size, chunk):
        T, change, _ = equations.reduced(line + 1j * at[k : k + chunk])
        sign, size = np.linalg.slogdet(T)
        if np.any(np.isneginf(size)):
            return np.full(at.size, np.nan), np.full(at.size, np.nan)
        phase[k : k + chunk] = np.angle(sign)
        slope[k : k + chunk] = np.einsum("kij,kji->k", np.linalg.inv(T), change).real
    return phase, slope


def _beyond(equations: Problem, line: float) -> float:
    """A radius beyond which no root has a real part ≥ line."""
    norm = np.linalg.norm(equations.A, axis=(1, 2))
    once = np.abs(np.sum(equations.s * equations.b, axis=1))
    twice = np.abs(np.einsum("ia,iab,ib->i", equations.s, equations.A, equations.b))
    thrice = np.linalg.norm(equations.s, axis=1) * norm**2 * np.linalg.norm(equations.b, axis=1)
    late = np.abs(equations.M) * np.exp(np.minimum(-line * equations.D, 300.0))
    radius = 2 * float(norm.max()) + abs(line) + 1e-3
    for _ in range(200):
        gain = once / radius + twice / radius**2 + thrice / (radius**2 * (radius - norm))
        if np.max(np.sum(late * gain, axis=1)) < 0.5 or np.max(np.abs(np.linalg.eigvals(late * gain))) < 0.5:
            break
        radius *= 1.4
    return radius


class Found(NamedTuple):
    """Roots right of `line`, (k,), by decreasing real part, those that fall together repeated; their `modes` (k, n) and last
    `change` (k,); `number` by the argument principle, None if not counted; `points` of the past at last."""

    roots: Any
    modes: Any
    change: np.ndarray
    line: float
    number: int | None
    points: int


_LARGEST = 2600  # unknowns of the generator, whose eigenvalues then take about a minute


def roots_right_of(linear: Delayed, line: float | None) -> Found:
    """All roots with a real part above `line`; by default of a line about 1/longest delay left of the rightmost one."""
    equations = problem(linear)
    longest = equations.longest
    if not longest:
        return _instantaneous(equations, line)
    if line is not None:
        return _searched(linear, equations, line)
    line = _default_line(equations, _eigenvalues(linear, _first_points(linear)))
    found = _searched(linear, equations, line)
    for shift in 2.0 ** np.arange(_SHIFTS):
        if found.roots.size:
            break
        line -= float(shift) / longest
        found = _searched(linear, equations, line)
    return found


def _searched(linear: Delayed, equations: Problem, line: float) -> Found:
    points, count = _first_points(linear), count_right_of(equations, line)
    found = None
    while True:
        values = _eigenvalues(linear, points)
        slack = 0.5 / equations.longest  # the collocation may put roots on the wrong side of the line
        near = values[(values.real > line - slack) & (values.imag >= 0)]
        refined = refine(equations, near)
        whole = _whole(equations, refined, line, False)
        if count is not None and whole[0].size < count:
            whole = _whole(equations, refined, line, True)
        previous, found = found, Found(*whole, line, count, points)
        agree = previous is not None and _agree(previous.roots, found.roots)
        enough = found.roots.size == count if count is not None else agree
        if enough or linear.size + 2 * points * linear.M.shape[0] > _LARGEST:
            return found
        points *= 2


def leading(linear: Delayed) -> Any:
    """The n m rightmost roots, by decreasing real part, those right of 0 as many as the argument principle counts; where a
    root could not be refined, its approximation."""
    equations = problem(linear)
    n, m = equations.b.shape
    if not np.all(np.isfinite(equations.A)):
        return np.full(n * m, complex(np.nan, np.nan))
    if not equations.longest:
        return _instantaneous(equations, None).roots
    points, count = _first_points(linear), count_right_of(equations, 0.0)
    while True:
        values = _eigenvalues(linear, points)[: n * m]
        refined = refine(equations, values[values.imag >= 0]).roots
        roots: Any = np.concatenate([refined, refined.conj()])
        if roots.size:
            nearest = np.argmin(np.abs(values[:, None] - roots), axis=1)
            near = np.abs(values - roots[nearest]) < 1e-3 * (1 + np.abs(values))
            values = np.where(near, roots[nearest], values)
        number = np.sum(values.real > 0)
        if count is None or number == min(count, n * m) or n * m + 2 * points * n > _LARGEST:
            return values[np.argsort(-values.real, kind="stable")]
        points *= 2


def _first_points(linear: Delayed) -> int:
    return int(np.clip((900 - linear.size) // linear.M.shape[0], 6, 24))


_generator = jax.jit(generator, static_argnums=1)


def _eigenvalues(linear: Delayed, points: int) -> Any:
    """Eigenvalues of the generator by decreasing real part."""
    values: Any = np.linalg.eigvals(np.asarray(_generator(linear, points), float))
    return values[np.argsort(-values.real)]


def _default_line(equations: Problem, values: Any) -> float:
    """In the widest gap of the real parts between ½ and 1½ over the longest delay left of the rightmost root."""
    most = refine(equations, values[:4]).roots
    first = float(np.max(most.real, initial=-np.inf)) if most.size else float(values.real.max())
    between = np.unique(np.round(values.real[(values.real < first)], 12))
    edges = first - np.array([1.5, 0.5]) / equations.longest
    inside = np.concatenate([edges[:1], between[(between > edges[0]) & (between < edges[1])], edges[1:]])
    widest = int(np.argmax(np.diff(inside)))
    return float(inside[widest : widest + 2].mean())


def _whole(equations: Problem, refined: Refined, line: float, multiple: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Roots right of the line with their conjugates, and if `multiple` as often as they fall together, by decreasing real
    part."""
    real = np.abs(refined.roots.imag) < _SAME * (1 + np.abs(refined.roots))
    keep = (refined.roots.real > line) & (real | (refined.roots.imag > 0))
    roots = np.where(real, refined.roots.real + 0j, refined.roots)[keep]
    modes, change, real = refined.modes[keep], refined.change[keep], real[keep]
    every = np.concatenate([roots, roots.conj()])
    chosen: list[tuple[complex, int, bool]] = []
    for k, root in enumerate(roots):
        apart = np.abs(every - root) > _SAME * (1 + abs(root))
        for _ in range(multiplicity(equations, root, every[apart]) if multiple else 1):
            chosen.append((root, k, False))
            if not real[k]:
                chosen.append((root.conjugate(), k, True))
    chosen.sort(key=lambda each: (-round(each[0].real, 10), -abs(each[0].imag), -each[0].imag))
    which = np.array([each[1] for each in chosen], int)
    turned = np.array([each[2] for each in chosen], bool)
    shapes = modes[which]
    return (
        np.array([each[0] for each in chosen], complex),
        np.where(turned[:, None], shapes.conj(), shapes) if which.size else shapes,
        change[which] if which.size else change[:0],
    )


def _instantaneous(equations: Problem, line: float | None) -> Found:
    """Without delays: eigenvalues, all of them if no line is given."""
    matrix, _ = equations.matrix(0j)
    values: Any
    values, vectors = np.linalg.eig(-matrix)
    n, m = equations.b.shape
    # Both of a pair are the same but for rounding: the one that turns forward comes first.
    size = np.max(np.abs(values), initial=1e-300)
    real, turn = np.round(values.real / size, 10), np.round(np.abs(values.imag) / size, 10)
    order = np.lexsort((-values.imag, -turn, -real))
    values, vectors = values[order], vectors[:, order]
    keep = values.real > (-np.inf if line is None else line)
    sent = np.einsum("ia,aik->ki", equations.s, vectors.reshape(m, n, -1))[keep]
    size = sent[np.arange(len(sent)), np.argmax(np.abs(sent), axis=1)][:, None]
    modes = sent / np.where(size == 0, 1, size)
    return Found(values[keep], modes, np.zeros(keep.sum()), -np.inf if line is None else line, int(keep.sum()), 0)


def _agree(a: np.ndarray, b: np.ndarray) -> bool:
    return a.size == b.size and (a.size == 0 or float(np.max(np.abs(np.sort_complex(a) - np.sort_complex(b)))) < 1e-8)
