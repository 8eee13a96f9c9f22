"""The job engine: runs jobs, and other background work that rows ask for.

`loop.py` finds what is to be done and claims it (`claims.py`; who may write: `catalog/leases.py`).
`generate.py` takes a job from its prompts to its video: `clips.py` one clip to its prediction's
end, by way of `submitting.py` (what can make a clip ask twice) and `clip_row.py`; `storing.py` from
there to the clip's assets, and `save.py` to the bytes of each. `download.py` fetches a URL,
`process.py` makes metadata and posters, `deliver.py` sends webhooks. `retry.py` says how long
faults are waited out. Every change of state is a transition of `library/lifecycle.py`.
"""
