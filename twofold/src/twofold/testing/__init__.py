"""What Twofold is tested with, shipped so that applications and other stores are tested with it too.

Import each from its own room: `scenario` (given, when, then on plain values), `strategies` (histories for Hypothesis,
which is asked for only there), `contract` (what makes a store a store).
"""
