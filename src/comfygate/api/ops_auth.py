"""Who operates: an account in the role operator or admin, by its API key or a browser's session.

Everybody else is told the same as by any other address: 401 without an account, 403 with one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends
from starlette.requests import Request

from comfygate.api.auth import TheAccount
from comfygate.api.face import TheFace
from comfygate.domain.errors import Forbidden
from comfygate.domain.staff import Role, may
from comfygate.gate import staff
from comfygate.gate.operate import CHANGING
from comfygate.gate.ops_board import Board
from comfygate.gate.ops_lists import ACTOR
from comfygate.gate.rows import AccountRow

PREFIX: Final = "/gate/v1/ops"
PRIVATE: Final = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody who may operate."""

    account: AccountRow
    role: Role

    @property
    def actor(self) -> str:
        """In the audit log."""
        return f"{ACTOR}{self.account.id}"

    def may(self, operation: str) -> bool:
        """Whether the role is enough for this operation."""
        return may(self.role, operation, changes=operation in CHANGING)

    def check(self, operation: str) -> None:
        """Raises Forbidden where the role is not enough for this operation."""
        if not self.may(operation):
            raise Forbidden(f"{operation} is for admins; this account is {self.role.value}")


async def operator_of(face: TheFace, account: TheAccount) -> Operator:
    """The account, if it may operate. Raises Forbidden, and what `account_of` does."""
    role = await staff.role_of(face.ctx, account.id)
    if role is Role.USER:
        raise Forbidden("this account does not operate; an admin can change that")
    return Operator(account, role)


TheOperator = Annotated[Operator, Depends(operator_of)]


async def board_of(request: Request) -> Board:
    """The board of this process."""
    found: Board = request.app.state.board
    return found


TheBoard = Annotated[Board, Depends(board_of)]
