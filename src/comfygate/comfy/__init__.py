"""One ComfyUI server: asking, sending, watching, collecting. Knows nothing of accounts, jobs or SQL."""
