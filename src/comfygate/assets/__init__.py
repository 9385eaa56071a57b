"""Bytes: where uploads and results are kept, and what kind of thing they are. Knows no accounts, no jobs."""

from comfygate.assets.blobs import Area, BlobMissing, BlobStore, StoredBlob, StoredKey
from comfygate.assets.sniff import OutputKind, output_kind, sniff

__all__ = [
    "Area",
    "BlobMissing",
    "BlobStore",
    "OutputKind",
    "StoredBlob",
    "StoredKey",
    "output_kind",
    "sniff",
]
