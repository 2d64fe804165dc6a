"""The REST API: a thin layer over the catalogue and Temporal."""
