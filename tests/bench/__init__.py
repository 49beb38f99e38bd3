"""The bench: one corpus, this program and its peers, one table. Run by hand, never by pytest."""
