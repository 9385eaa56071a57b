"""Who may operate, and what: the one table of roles. Pure.

An operator keeps the line moving: lanes, servers that are there, jobs, reviews. Money, tiers (which are
money), accounts, keys, roles, and which servers there are, are an admin's: whoever adds a server has
pictures sent there.
"""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What an account may do beside having jobs. `admin` may all that `operator` may."""

    USER = "user"
    OPERATOR = "operator"
    ADMIN = "admin"


OPERATORS_MAY = frozenset(
    {
        "jobs.cancel", "jobs.retry", "lanes.pause", "lanes.resume", "review.forgive", "review.reject",
        "review.release", "servers.drain", "servers.resume",
    }
)  # fmt: skip
"""Operations that change something and need no admin; every other one does."""

ADMINS_READ = frozenset({"codes.list", "payments.list"})
"""Operations that only read, and are an admin's all the same: they are about money alone."""


def may(role: Role, operation: str, *, changes: bool) -> bool:
    """Whether an account of this role may do the operation, which `changes` something or only reads."""
    if role is Role.ADMIN:
        return True
    if role is Role.USER:
        return False
    return operation in OPERATORS_MAY if changes else operation not in ADMINS_READ
