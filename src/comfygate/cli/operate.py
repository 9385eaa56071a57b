"""Does an operator's request: through the service that runs here, else by opening the store itself.

Never both: once a request may have reached a running service, it is not tried again beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from comfygate.cli import control_file
from comfygate.cli.control_file import ControlFile
from comfygate.cli.refusals import CommandError, of_envelope, out_of_reach
from comfygate.cli.services import Services
from comfygate.domain.errors import Conflict
from comfygate.settings import Settings

CONTROL_HOST: Final = "127.0.0.1"
CONNECT_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 60.0

Json = dict[str, Any]


class NobodyThereError(Exception):
    """No service of ours is behind the control file; nothing was asked of anyone."""


async def operate(services: Services, settings: Settings, operation: str, **arguments: Any) -> Json:
    """The answer to `operation` of `comfygate.gate.operate`. Raises CommandError and GateError."""
    found = control_file.read(settings.data_path)
    if found is not None:
        try:
            return await ask(found, operation, arguments)
        except NobodyThereError:
            # Left behind by a crash, or another service's port by now.
            found = None
    try:
        return await services.perform(settings, operation, arguments)
    except Conflict as conflict:
        if (conflict.details or {}).get("field") != "data_dir":
            raise
        raise CommandError(
            conflict.code,
            f"a comfygate process holds {settings.data_path} but its control channel does not answer; "
            "wait until it has started or stopped, then try again",
        ) from conflict


async def ask(found: ControlFile, operation: str, arguments: Mapping[str, Any]) -> Json:
    """Ask the running service. Raises NobodyThereError when it certainly did not hear, else CommandError."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS, sock_connect=CONNECT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
        try:
            async with session.post(
                f"http://{CONTROL_HOST}:{found.port}/control",
                json={"operation": operation, "arguments": dict(arguments)},
                headers={"Authorization": f"Bearer {found.token}"},
                allow_redirects=False,
            ) as answer:
                return _answer(answer.status, await _json(answer))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NobodyThereError from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise out_of_reach(
                f"the service running here (process {found.pid}) gave no answer to {operation!r}; "
                "look whether it was done before you repeat it"
            ) from error


async def _json(answer: aiohttp.ClientResponse) -> Any:
    try:
        return await answer.json(content_type=None)
    except ValueError:
        return None


def _answer(status: int, body: Any) -> Json:
    if status == 200 and isinstance(body, dict):
        return body
    refusal = of_envelope(body, status)
    if refusal is not None and refusal.code != "unauthorized":
        raise refusal
    if status < 500:
        # A stranger on that port, or a service that has another token: neither did anything.
        raise NobodyThereError
    raise out_of_reach(f"the service running here answered {status}; its log says why")
