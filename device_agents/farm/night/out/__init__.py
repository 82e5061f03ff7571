"""What a night tells the world: JUnit XML for CI, Markdown for its job summary, a webhook; each is made of the night's
record alone."""
