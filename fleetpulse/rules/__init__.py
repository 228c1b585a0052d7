"""Rules: their model, their files, and their evaluation on the stream."""
