"""Is what is served distributed as the sample was: distances, their significance, and the judgement of a window of rows."""
