"""A ComfyUI stand-in on the same wire, for tests and the demo; it knows nothing of the gateway."""

from comfygate.simulator.journal import Request
from comfygate.simulator.serve import serve
from comfygate.simulator.simulator import Simulator
from comfygate.simulator.switches import KINDS, UnknownFaultError

__all__ = ["KINDS", "Request", "Simulator", "UnknownFaultError", "serve"]
