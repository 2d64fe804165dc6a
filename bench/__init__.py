"""Rota measured against a bare Temporal workflow on the same server: `python -m bench`."""
