"""INT8 from a float export and real calibration samples."""
