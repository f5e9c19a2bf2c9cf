"""Whether failures depend on the port that a lookup came from."""

from __future__ import annotations

from math import exp, inf, lgamma

from msgspec import Struct


class Ports(Struct, frozen=True):
    """Lookups of a window by whether their port was in use before it began, and whether they were answered."""

    reused_failed: int
    reused_answered: int
    fresh_failed: int
    fresh_answered: int

    @property
    def p_value(self) -> float:
        """Fisher's exact test, one-sided: so many failures on reused ports by chance."""
        return fisher(self.reused_failed, self.reused_answered, self.fresh_failed, self.fresh_answered)

    @property
    def risk_ratio(self) -> float:
        reused, fresh = self.reused_failed + self.reused_answered, self.fresh_failed + self.fresh_answered
        if not reused or not fresh:
            return 1.0
        if not self.fresh_failed:
            return inf if self.reused_failed else 1.0
        return (self.reused_failed / reused) / (self.fresh_failed / fresh)


def fisher(a: int, b: int, c: int, d: int) -> float:
    """The chance of at least `a` in the table [[a, b], [c, d]] with the sums given: a hypergeometric tail."""

    def log_choose(n: int, k: int) -> float:
        return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)

    row, column, total = a + b, a + c, a + b + c + d
    whole = log_choose(total, column)
    tail = range(a, min(row, column) + 1)
    return min(1.0, sum(exp(log_choose(row, k) + log_choose(total - row, column - k) - whole) for k in tail))
