"""The formulas: each file one method, from values or summaries to an estimate, a test or a refusal. They know nothing of experiments."""
