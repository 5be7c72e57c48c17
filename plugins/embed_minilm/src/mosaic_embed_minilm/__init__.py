"""Search by meaning with a model that runs here, without a network: all-MiniLM-L6-v2."""
