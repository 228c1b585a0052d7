"""The window engine: whole-bucket one-minute rollups of one partition, on dense numpy arrays. Pure; no clock.

`registry` gives every series a dense id, `arrange` sorts a batch, `minute` accumulates one minute, `engine` decides
what is counted, what is a duplicate, what is late, and when a bucket closes.
"""
