"""The operator's side for accounts in the roles operator and admin, put together: `/gate/v1/ops`."""

from __future__ import annotations

from comfygate.api import (
    ops_actions,
    ops_first_run,
    ops_lists,
    ops_series,
    ops_story,
    ops_stream,
)

# Fixed addresses come before those with a name in them.
routers = (
    ops_lists.router,
    ops_stream.router,
    ops_series.router,
    ops_first_run.router,
    ops_story.router,
    ops_actions.router,
)
