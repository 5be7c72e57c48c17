"""mosaic_audit"""
