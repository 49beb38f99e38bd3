"""The off-site copy: a bucket, or a directory, that holds the store's sealed objects."""
