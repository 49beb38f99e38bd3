"""Row 2: bytes and text <-> frozen dataclasses, as docs/format/ fixes them. No I/O."""
