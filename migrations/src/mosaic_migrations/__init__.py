"""mosaic_migrations"""
