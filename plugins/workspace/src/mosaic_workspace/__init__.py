"""The workspace plugin: tasks and notes."""
