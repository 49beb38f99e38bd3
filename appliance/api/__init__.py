"""The API of a box: REST and server-sent events under /api/v1; folders mirror URLs."""
