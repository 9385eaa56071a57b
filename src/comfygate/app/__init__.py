"""The one place that names concrete parts and wires them.

`open` runs a gate inside a program, `opened` gives use cases without loops, `started` runs the loops, and
`main` is the command line.
"""

from comfygate.app.main import main
from comfygate.app.wiring import connector, open, opened, rules_of, signing_secret, started

__all__ = ["connector", "main", "open", "opened", "rules_of", "signing_secret", "started"]
