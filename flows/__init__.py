"""Floor 3: one file per journey through the house; here the packages of floor 2 meet."""
