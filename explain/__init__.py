"""The diagnosis engine: small named rules that say in words why a call failed, a phone can't register, or the server is
not as it should be; each with what it rests on and what to do.

Pure: no sockets, clocks or threads; frozen values in, findings out, any thread.  The parts: `finding` and `rule` are
the form of what rules say and how they are ranked, `calls` has the rules about calls, `texts` the words for people, a
catalogue for each language, and `words` fills them in.
"""
