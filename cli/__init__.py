"""The `rota` command: servers, API keys, the demo, and a client of the REST API."""
