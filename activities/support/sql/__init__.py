"""SQL scripts: connection strings, statements, and the database servers on which they run."""
