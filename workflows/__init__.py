"""Workflows, one a file. They import contracts and nothing else of ours, and call activities by name."""
