"""Grants, scopes, enrollment, peers and the mTLS link between gateways."""
