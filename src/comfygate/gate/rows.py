"""The store's plain rows as faces may use them: a face imports the gate, never the store."""

from comfygate.store.rows import AccountRow, AssetRow, EntryRow

__all__ = ["AccountRow", "AssetRow", "EntryRow"]
