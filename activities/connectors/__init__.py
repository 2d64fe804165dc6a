"""Connectors: how the run profiles of a kind of connected system are run, one public file each."""
