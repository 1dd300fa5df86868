"""Learning while serving: the learner's process, the workers that follow it, and replay."""
