"""Requests and responses of the API: camelCase JSON."""
