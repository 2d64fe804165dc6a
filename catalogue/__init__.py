"""The catalogue: what schedules, executions, connected systems and keys there are, in SQLite or PostgreSQL."""
