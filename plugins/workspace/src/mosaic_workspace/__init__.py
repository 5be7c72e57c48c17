"""mosaic_workspace"""
