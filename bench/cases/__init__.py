"""The cases, one a module; each defines `CASE`."""
