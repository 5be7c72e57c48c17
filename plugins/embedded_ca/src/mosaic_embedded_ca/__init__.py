"""mosaic_embedded_ca"""
