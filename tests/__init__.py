"""The tests; a real package, so that no installed package called `tests` can stand before it."""
