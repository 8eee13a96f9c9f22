"""What happens after a 202.

`loop.py` runs what the rows say is to be done, `generate.py` takes a job from its prompts to its
video, `clips.py` one clip from its prompt to a prediction's outputs, `storing.py` these to the
clip's assets, `save.py` one of them to its bytes, `process.py` a stored asset to its metadata and
poster.
"""
