"""mosaic_federation"""
