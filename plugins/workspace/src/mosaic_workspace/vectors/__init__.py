"""Vectors of tasks and notes, where pgvector is wanted."""
