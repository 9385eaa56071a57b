"""Use cases and loops: submit, claim, drive an attempt, settle, cancel, rescue, tell."""
