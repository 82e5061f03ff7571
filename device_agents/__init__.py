"""Where a bundle runs: the agent on the device, the ways to reach it, and what a farm makes of its measurements."""
