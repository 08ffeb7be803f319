"""The event log and live delivery: what happened, once each, in causal order, to whoever may see it.

Knows topics, kinds, payloads and positions; it never learns what a job is and imports nothing from the apps above it.
"""
