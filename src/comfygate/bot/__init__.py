"""The Telegram bot: one more face of the same use cases. No queue, no money and no ComfyUI of its own."""
