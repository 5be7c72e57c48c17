"""Rows as tools for AI agents."""
