"""Looking into a log, for any way in: what happened, what came of it, why something is as it is, what would happen.

Functions over a store and a model, which change nothing. Their answers are frozen structs that an API, a page and a
terminal all show. They work on any store and without a model: then events are plain JSON, and no state is known.
Each call looks at a bounded number of events. An event that cannot be read is shown as one, and hides no other.
"""
