"""How often verdicts are wrong, and how soon they are right: error rates by simulation with known truths."""
