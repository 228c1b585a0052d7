"""Rule files in git and the rules in force: the commands that bring the two together, through the API."""
