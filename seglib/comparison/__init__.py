"""The variants of a dataset side by side: what the page shows, from result files alone."""
