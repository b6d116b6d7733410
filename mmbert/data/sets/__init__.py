"""Real data sets, one file each, and what turns their packages and archives into ordinary manifests."""
