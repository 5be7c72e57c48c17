"""Mutual audit: two gateways hold each other to their logs. Both have a record of each answer between them."""
