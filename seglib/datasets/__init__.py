"""Datasets: raw data fetched, checked and packed into one prepared format (see `store`)."""
