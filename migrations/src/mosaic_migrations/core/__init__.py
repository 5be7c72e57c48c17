"""The core's own tables: who is who, and the function that makes a resource's table."""
