"""What a shrunk network will take on a device, from the measured times of its layers one by one."""
