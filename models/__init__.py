"""Floor 2: machine-learning models: signature, runtimes, compiling, auditing, the pool of loaded versions."""
