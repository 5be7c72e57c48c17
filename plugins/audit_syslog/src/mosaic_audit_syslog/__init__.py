"""Audit to syslog."""
