"""Alembic's entry: runs the migrations on the connection that `store/schema.py` hands over."""

from __future__ import annotations

from alembic import context

from comfygate.store.eta_tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=False,
)
with context.begin_transaction():
    context.run_migrations()
