"""Step types, one public file each; what they share is in `support`, connectors of run profiles in `connectors`."""
