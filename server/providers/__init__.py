"""Who makes the videos: Replicate, FAL and the built-in sample, behind one small protocol.

`base` holds the protocol, its values and its errors; `models` what is known about models.
"""
