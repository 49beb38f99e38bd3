"""Row 7: who gets in, and with which rights. Never asks for or keeps a password in the clear."""
