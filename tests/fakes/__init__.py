"""Fake providers over real HTTP, for tests of any layer.

    with FakeReplicate() as fake:                  # fake.url, fake.token, fake.media_url
        fake.fault("create", drop=True, made=True, matching="a cat")
        fake.outcome("E004", matching="a dog")     # the next prediction for it fails so
        fake.hold("a fox")                         # never ends, until
        fake.release("a fox")
        fake.hold_fetch("as_12")                   # its inputs wait in the queue, until
        fake.release_fetch()
        fake.hooks.repeat = 2                      # webhooks; see `Hooks`
        fake.clip_options = {"moov_last": True, "padding": 4_000_000}
        …
        assert fake.creates_by_prompt() == {"a cat": 1}
        assert not fake.problems

They live in a thread of their own, and may be driven from synchronous and asynchronous tests.
"""
