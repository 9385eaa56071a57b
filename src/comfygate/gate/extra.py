"""The one prompt more that a server may have, waiting behind those of ours that run there (`--ahead 1`).

ComfyUI then goes from one job to the next without us. It is used only while nobody else's prompt would be in
front of it or behind both, and while no server beside this one could begin the job at once.
"""

from __future__ import annotations

from comfygate.comfy.client import ComfyClient
from comfygate.gate.claiming import Claiming
from comfygate.gate.condition import Condition
from comfygate.gate.driving import BEHIND_MAX, Driving
from comfygate.store.rows import ClaimedAttempt, ServerRow


class Extra:
    """A server's place beyond its slots; where it has none, it is never open."""

    def __init__(
        self,
        server: ServerRow,
        client: ComfyClient,
        condition: Condition,
        driving: Driving,
        claiming: Claiming,
    ) -> None:
        self._server = server
        self._client = client
        self._condition = condition
        self._driving = driving
        self._claiming = claiming

    @property
    def is_open(self) -> bool:
        """Whether a prompt more may wait there, as far as is known without asking the server."""
        driving, server = self._driving, self._server
        return (
            len(driving.held) == server.slots < server.slots + server.ahead
            and driving.in_full_swing
            and driving.behind < BEHIND_MAX
            and self._condition.may_queue_ahead
            and not self._claiming.others_free
        )

    async def claimed(self) -> ClaimedAttempt | None:
        """The first job in order, claimed to wait there; None when there is none, or somebody else's prompt
        is there. Raises ComfyError."""
        depth = await self._client.queue_depth()
        if not self.is_open or depth != self._server.slots:
            return None
        return await self._claiming.first_in_order(self._server.ahead)
