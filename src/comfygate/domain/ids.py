"""Names of things, so that an account's id cannot be passed where a job's is meant."""

from __future__ import annotations

from typing import NewType

JobId = NewType("JobId", str)
"""UUID of a job, canonical lower case."""
AccountId = NewType("AccountId", str)
"""UUID of an account, canonical lower case."""
AssetId = NewType("AssetId", str)
"""UUID of an asset record, canonical lower case."""
PromptId = NewType("PromptId", str)
"""UUID of one attempt on the wire to ComfyUI; never shown to users."""
ServerName = NewType("ServerName", str)
"""The operator's name of a ComfyUI server."""
LaneName = NewType("LaneName", str)
"""A lane: image, video, or any other the settings name."""
TierName = NewType("TierName", str)
"""What an account is: regular, vip, black_gold, or any other the settings name."""
