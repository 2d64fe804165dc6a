"""Lists and details of a large catalogue, over loopback: `python -m bench catalogue`."""
