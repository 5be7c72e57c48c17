"""mosaic_gateway"""
