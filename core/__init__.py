"""Floor 1: the values, words and errors that every other floor shares. Imports nothing of ours."""
