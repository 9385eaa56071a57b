"""The HTTP face: Comfy API v2 as published, our additions under /gate/v1, the local control channel."""
