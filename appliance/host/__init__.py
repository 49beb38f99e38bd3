"""What the operating system has to be told of the box: its name, its time, its addresses."""
