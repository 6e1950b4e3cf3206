"""Networks: transforms, quantisers, exact entropy networks and their weights."""
