"""Webhooks: events sent by HTTP to whoever has asked for them.

The leaf locks are those of the book and of the courier, which alone does the sending, in the thread `webhooks`.
"""
