"""Refutations of published claims at explicit numbers: each a proof whose names "found" and "claimed" contradict the claim.

Two more, of deep cross-entropy and of deep squared error, stand beside their equations in `ufm.proofs.equations`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ufm.base.checks import check_choice, check_count, refuse
from ufm.proofs.exact import flint, rational, shown, text, transposed
from ufm.proofs.expressions import Expression, exp, log, name, number, power, sqrt, total
from ufm.proofs.facts import Fact, Less, Where, refutation
from ufm.proofs.objective import Names, Rows, inner, named, product
from ufm.proofs.proof import Proof

Claim = Mapping[str, str] | None


def margins_are_beaten(sizes: Sequence[Any], l2_W: Any, l2_H: Any, where: Where, *, claim: Claim = None) -> Proof:
    """Refutation of published margins of non-negative features, which do not depend on the ridge of the features: found < claimed.

    claimed = sum_k (n_k/N) log(1 + (K-1) e^-M_k) + (l_W l_H n_k (K-1)/K)^(1/2) M_k, the least f at the margins
    M_k = log((K-1) (2 sqrt(n_k) (K/(K-1))^(1/2)/(N l_W) - 1)).

    Args:
      sizes: n_k of the K classes. where: names of which the last is "found", as `ufm.proofs.objective.objective_expression` gives.
    """
    K, n = len(sizes), [rational(x) for x in sizes]
    N, W, H = sum(n, rational(0)), rational(l2_W), rational(l2_H)
    names, terms = list(where), []
    for k, size in enumerate(n, 1):
        odds = (K - 1) * (sqrt(4 * size * K / ((K - 1) * N**2 * W**2)) - 1)
        names.append((f"odds{k}", odds))
        price = sqrt(W * H * size * (K - 1) / K)
        terms.append(size / N * log(1 + (K - 1) / name(f"odds{k}")) + price * log(name(f"odds{k}")))
    names.append(("claimed", total(terms)))
    words = ", ".join(map(text, n))
    what = (
        f"a point is below the published margins: non-negative features, cross-entropy, classes of {words} samples, "
        f"l_W = {shown(W)}, l_H = {shown(H)}"
    )
    facts: list[Fact] = [Less(number(1), name(f"odds{k}")) for k in range(1, K + 1)]
    return refutation(what, [*facts, Less(name("found"), name("claimed"))], names, claim=claim)


def gradients_contradict(
    a: Any, b: Any, per_class: int, teacher: Any, temperature: Any, kind: str, *, claim: Claim = None
) -> Proof:  # fmt: skip
    """Refutation of "cross-entropy and a binary divergence contradict in the classifier, not in the backbone" at collapse.

    W = a P, H = b P Y, P = I - J/K, classes of n samples, a teacher's logits T of each class: with G the gradients in the logits,
    classifier = <G_ce H^T, G_B H^T> < 0 and found = <W^T G_ce, W^T G_B> < 0 = claimed. Both losses are means over samples.

    Args:
      teacher: (K, K) exact numbers, one column a class. kind: "plain", T (sig(z/T) - sig(t/T)), or "norm", T (sig((z-t)/T) - 1/2).
    """
    check_choice("kind", kind, ("plain", "norm"))
    check_count("per_class", per_class, 1)
    K, T, size = len(teacher), rational(temperature), rational(a) * rational(b)
    P = [[rational(i == j) - rational(1) / K for j in range(K)] for i in range(K)]
    names: Names = [("odds", exp(number(-size)))]
    true, other = 1 / (1 + (K - 1) * name("odds")), name("odds") / (1 + (K - 1) * name("odds"))
    cross = [[true - 1 if i == j else other for j in range(K)] for i in range(K)]
    given, teachers = named("t", teacher)
    z = [[number(size * entry) for entry in row] for row in P]

    def pull(z: Expression, t: Expression) -> Expression:
        return T * (_sigmoid(z / T) - _sigmoid(t / T)) if kind == "plain" else T * (_sigmoid((z - t) / T) - rational(1) / 2)

    binary = [[pull(x, t) for x, t in zip(*rows, strict=True)] for rows in zip(z, teachers, strict=True)]
    names += given
    losses: dict[str, Rows] = {}
    for label, G in (("ce", cross), ("binary", binary)):
        names += [(f"{label}_{i}_{j}", entry) for i, row in enumerate(G, 1) for j, entry in enumerate(row, 1)]
        losses[label] = [[name(f"{label}_{i}_{j}") for j in range(1, K + 1)] for i in range(1, K + 1)]
    frame = [[number(entry) for entry in row] for row in P]
    in_W = [product(G, transposed(frame)) for G in losses.values()]
    in_H = [product(transposed(frame), G) for G in losses.values()]
    N = K * per_class
    names += [
        ("classifier", (rational(b) * per_class / N) ** 2 * inner(*in_W)),
        ("found", rational(a) ** 2 * per_class / N**2 * inner(*in_H)),
        ("claimed", number(0)),
    ]
    what = (
        f"the gradients of cross-entropy and of the binary divergence ({kind}) contradict in classifier and backbone at "
        f"W = a P, H = b P Y: K = {K}, n = {per_class}, T = {shown(T)}, margin a b = {shown(size)}, teacher's columns "
        + "; ".join(" ".join(map(shown, map(rational, column))) for column in zip(*teacher, strict=True))
    )
    return refutation(what, [Less(name("classifier"), number(0)), Less(name("found"), name("claimed"))], names, claim=claim)


def loss_outruns_one_over_t(
    classes: int, per_class: int, depth: int, start: Any, scales: tuple[int, int], *, claim: Claim = None
) -> Proof:  # fmt: skip
    """Refutation of "the loss falls like 1/t" on the simplex without ridge, at two times: t f falls to less than a fifth.

    f = log(1 + (K-1) e^-s) at the time t(s) = (n^(1-q/2)/L) int_{s0}^s (e^v + K - 1) v^-q dv, q = 2 - 2/L, which is a series of
    positive terms: K int v^-q + sum_j>=1 of (s^(j+1-q) - s0^(j+1-q)) / (j! (j+1-q)). claimed is below t f at the first scale, by a
    partial sum, and found above t f at the second, by the geometric series beyond it. That t f tends to zero is by hand.
    """
    for argument, count in (("classes", classes), ("per_class", per_class), ("depth", depth)):
        check_count(argument, count, 1)
    K, n, L, s0 = classes, rational(per_class), depth + 1, rational(start)
    first, second = scales
    if not 0 < s0 < first < second:
        refuse("start and scales", (start, *scales), "positive and increasing")
    q, terms = 2 - rational(2) / L, 3 * second + 40
    names: Names = [("s0", number(s0)), ("s1", number(first)), ("s2", number(second))]
    for label in ("s0", "s1", "s2"):
        names.append((f"{label}_power", power(name(label), 1 - q)))
        names += _series(label, q, terms)
    front = power(number(n), 1 - q / 2) / L

    def time(label: str, series: Expression) -> Expression:
        if q == 1:
            constant = log(name(label) / name("s0"))
        else:
            constant = (name(f"{label}_power") - name("s0_power")) / (1 - q)
        return front * (K * constant + series)

    lost = name("s0_power") * (name("s0_sum") + name("s0_rest"))
    found = name("s2_power") * (name("s2_sum") + name("s2_rest")) - name("s0_power") * name("s0_sum")
    names += [
        ("t1", time("s1", name("s1_power") * name("s1_sum") - lost)),
        ("t2", time("s2", found)),
        ("claimed", name("t1") * log(1 + (K - 1) * exp(-name("s1")))),
        ("found", name("t2") * log(1 + (K - 1) * exp(-name("s2")))),
    ]
    what = (
        f"without ridge t f falls to less than a fifth between logit scales {first} and {second}: cross-entropy, K = {K}, "
        f"n = {per_class}, {L} trained factors, from scale {shown(s0)}; that it tends to zero is by hand"
    )
    return refutation(what, [Less(5 * name("found"), name("claimed"))], names, claim=claim)


def rounded_gradient_has_a_sum(classes: int, margins: Sequence[Any], digits: int, *, claim: Claim = None) -> Proof:
    """Refutation of "automatic differentiation of max-subtracted log-softmax gives a gradient of sum zero" in binary floats.

    (K-1) e^-a (1 + 1/16) < 2^-p for every margin a: exp and the sum of K - 1 of them are right to a sixteenth, so that by IEEE
    rounding 1 + (K-1) e^-a is 1, and the gradient of the column is (0, e, ..., e), e > 0: its sum over the sum of its sizes is 1.

    Args:
      digits: p, of the significand: 24 in single precision.
    """
    check_count("classes", classes, 2)
    check_count("digits", digits, 2)
    unit, names, facts = number(flint().fmpq(1, 1 << digits)), [], []
    for k, a in enumerate(margins, 1):
        names += [(f"margin{k}", number(a)), (f"others{k}", (classes - 1) * exp(-name(f"margin{k}")))]
        facts += [Less(rational(17) / 16 * name(f"others{k}"), unit), Less(number(0), name(f"others{k}"))]
    names += [("claimed", number(0)), ("found", number(1))]
    words = ", ".join(shown(rational(a)) for a in margins)
    what = (
        f"in floats of {digits} bits, by IEEE rounding, softmax is one-hot and its gradient has a sum: {classes} classes, "
        f"margins {words}"
    )
    return refutation(what, [*facts, Less(name("claimed"), name("found"))], names, claim=claim)


def _series(label: str, q: Any, terms: int) -> Names:
    """sum_{j=1}^J s^j / (j! (j + 1 - q)), and what the rest is at most: s^(J+1) / ((J+1)! (J+2-q)) / (1 - s/(J+2))."""
    names = [(f"{label}_term1", name(label))]
    for j in range(2, terms + 2):
        names.append((f"{label}_term{j}", name(f"{label}_term{j - 1}") * name(label) / j))
    parts = [name(f"{label}_term{j}") / (j + 1 - q) for j in range(1, terms + 1)]
    rest = name(f"{label}_term{terms + 1}") / (terms + 2 - q) / (1 - name(label) / (terms + 2))
    return [*names, (f"{label}_sum", total(parts)), (f"{label}_rest", rest)]


def _sigmoid(z: Expression) -> Expression:
    return 1 / (1 + exp(-z))
