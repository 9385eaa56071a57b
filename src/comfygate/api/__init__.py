"""The HTTP face: Comfy API v2 as published, our own additions under /gate/v1, and the local control channel."""
