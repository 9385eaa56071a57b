"""Numbered, forward-only changes of the schema, run by Alembic; see `store/schema.py`."""
