"""The control of submissions: FastAPI and uvicorn alone, which answer the same request and keep nothing."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from typing import Any

import uvicorn
from fastapi import FastAPI, Request

from comfygate.app.http import bound
from comfygate.app.main import run


async def main() -> None:
    """Until told to stop by a signal."""
    app = FastAPI()

    @app.post("/api/v2/jobs", status_code=201)
    async def post_job(request: Request) -> dict[str, Any]:
        graph = json.loads(await request.body())["workflow"]
        return {"id": str(uuid.uuid4()), "status": "queued", "nodes": len(graph)}

    @app.post("/api/v2/assets", status_code=201)
    async def post_asset(request: Request) -> dict[str, Any]:
        return {"id": str(uuid.uuid4()), "size": len(await request.body())}

    sock = bound("127.0.0.1", 0)
    print(json.dumps({"url": f"http://127.0.0.1:{sock.getsockname()[1]}"}), flush=True)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, backlog=2048))
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    gone = asyncio.create_task(lines.read())  # whoever started it is gone
    await asyncio.wait({serving, gone}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    run(main)
