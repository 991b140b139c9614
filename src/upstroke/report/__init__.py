"""Records as plain data, turned into text and figures; nothing is measured or decided here."""
