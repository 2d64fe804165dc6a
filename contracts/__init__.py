"""Shapes, ids and names that cross Temporal: shared by the API, the workflows and the workers."""
