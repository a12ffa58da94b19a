"""One module per step, oldest first by number; a step that was released is never edited."""
