"""What the server says of itself: /system_stats, /features, /object_info, /models, /embeddings (recorded)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from comfygate.simulator.catalog import MODEL_FOLDERS
from comfygate.simulator.files import Folders
from comfygate.simulator.node import NodeClass

_MEMORY_BYTES = 25276510208
_MEMORY_FREE_BYTES = 24497238016


@dataclass(frozen=True, slots=True)
class FactRoutes:
    """Handlers."""

    folders: Folders
    catalog: Mapping[str, NodeClass]
    version: str
    features: Mapping[str, Any]

    async def system_stats(self, request: web.Request) -> web.Response:
        """GET /system_stats; memory in bytes, made up."""
        system = {
            "os": "posix",
            "ram_total": _MEMORY_BYTES,
            "ram_free": _MEMORY_FREE_BYTES,
            "comfyui_version": self.version,
            "required_frontend_version": "1.27.10",
            "installed_templates_version": "0.1.95",
            "required_templates_version": "0.1.95",
            "python_version": "3.11.7 (simulated)",
            "pytorch_version": "2.13.0+cpu",
            "embedded_python": False,
            "argv": ["main.py", "--cpu"],
        }
        device = {
            "name": "cpu",
            "type": "cpu",
            "index": None,
            "vram_total": _MEMORY_BYTES,
            "vram_free": _MEMORY_FREE_BYTES,
            "torch_vram_total": _MEMORY_BYTES,
            "torch_vram_free": _MEMORY_FREE_BYTES,
        }
        return web.json_response({"system": system, "devices": [device]})

    async def features_(self, request: web.Request) -> web.Response:
        """GET /features."""
        return web.json_response(dict(self.features))

    async def object_info(self, request: web.Request) -> web.Response:
        """GET /object_info."""
        return web.json_response({name: node.info(self.folders) for name, node in self.catalog.items()})

    async def object_info_of(self, request: web.Request) -> web.Response:
        """GET /object_info/{class}; `{}` if unknown."""
        node = self.catalog.get(request.match_info["node_class"])
        return web.json_response({} if node is None else {node.name: node.info(self.folders)})

    async def models(self, request: web.Request) -> web.Response:
        """GET /models."""
        return web.json_response(list(MODEL_FOLDERS))

    async def models_of(self, request: web.Request) -> web.Response:
        """GET /models/{folder}; 404 if there is no such folder."""
        if request.match_info["folder"] not in MODEL_FOLDERS:
            return web.Response(status=404)
        return web.json_response(self.folders.models(request.match_info["folder"]))

    async def embeddings(self, request: web.Request) -> web.Response:
        """GET /embeddings."""
        return web.json_response([])
