"""What `doctor` finds: one line a thing looked at, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Grade = Literal["ok", "note", "warn", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`subject` was looked at and `says` is how it is; `advice` is what to do when it is not ok.

    `fault` keeps the service from working, `warn` will hurt sooner or later, `note` is good to know.
    """

    grade: Grade
    subject: str
    says: str
    advice: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"grade": self.grade, "subject": self.subject, "says": self.says, "advice": self.advice}
