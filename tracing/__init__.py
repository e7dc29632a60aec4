"""Views of the trace of a call: what was said in which order, by whom, and the same as a diagram or a capture.  Pure.

Everything here starts from `sip.trace.CallTrace`, which is masked already.
"""
