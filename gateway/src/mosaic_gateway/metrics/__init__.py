"""Figures of a running gateway: counted in plain numbers, brought together when somebody asks."""
