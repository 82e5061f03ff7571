"""Devices as a farm knows them: inventory, trust, jobs, reports, verdicts and the page that shows them."""
