"""`mosaic plugins check`: every contract suite over whatever one installed plugin registers."""
