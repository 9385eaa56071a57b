"""Starting a ComfyUI anew, in the way its operator set up: a command on this machine, or an address to
POST to.

A node that hangs cannot be interrupted (ComfyUI #3131, #3670), and a CUDA fault poisons the whole process:
only a new process helps, and only its operator knows how one is made.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

import aiohttp

SECONDS_MAX = 60.0
"""How long the command or the answer may take; ComfyUI's own start comes after that."""


class RestartFailed(Exception):
    """The hook did not do its work; the message says why, without arguments or addresses."""


@dataclass(frozen=True, slots=True)
class RestartHook:
    """`command` is run without a shell, or `url` (which may carry a secret) gets an empty POST."""

    command: tuple[str, ...] = field(default=(), repr=False)
    url: str = field(default="", repr=False)

    async def run(self, session: aiohttp.ClientSession, seconds: float = SECONDS_MAX) -> None:
        """Raises RestartFailed."""
        try:
            async with asyncio.timeout(seconds):
                await (self._command() if self.command else self._post(session))
        except TimeoutError as error:
            raise RestartFailed(f"the restart hook took longer than {seconds:g} s") from error
        except OSError as error:
            raise RestartFailed(f"the restart command cannot be run: {error.strerror}") from error
        except aiohttp.ClientError as error:
            raise RestartFailed(f"the restart address does not answer ({type(error).__name__})") from error

    async def _command(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *self.command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
        )
        try:
            status = await process.wait()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        if status:
            raise RestartFailed(f"the restart command ended with {status}")

    async def _post(self, session: aiohttp.ClientSession) -> None:
        async with session.post(self.url, allow_redirects=False) as answer:
            if answer.status >= 300:
                raise RestartFailed(f"the restart address answered {answer.status}")
