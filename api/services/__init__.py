"""What the routes do: rules, the catalogue and Temporal in one call."""
