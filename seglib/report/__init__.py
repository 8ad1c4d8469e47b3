"""The page: one folder, no network, opens from disk. It shows what `comparisons/` holds and computes nothing."""
