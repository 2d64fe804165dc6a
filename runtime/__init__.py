"""What every process of Rota stands on: settings, secrets, the Temporal client, the embedded server."""
