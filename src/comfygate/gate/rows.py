"""The store's plain rows under the names by which faces may use them: a face imports the gate, never the store."""

from comfygate.store.rows import AccountRow, AssetRow, EntryRow

__all__ = ["AccountRow", "AssetRow", "EntryRow"]
