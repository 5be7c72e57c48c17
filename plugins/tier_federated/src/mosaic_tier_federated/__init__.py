"""The federated tier: what federation needs in earnest, declared."""
