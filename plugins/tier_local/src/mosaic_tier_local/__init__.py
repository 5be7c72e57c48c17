"""mosaic_tier_local"""
