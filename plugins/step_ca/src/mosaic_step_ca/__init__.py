"""Certificates from a Smallstep step-ca, and the command that sets one up."""
