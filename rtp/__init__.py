"""The media relay: packets of a call go from one phone to the other through ports of the server, unchanged; and a few
numbers where the server itself speaks and listens.

Layers, lowest first; the first group is pure (bytes, addresses and `now` in, decisions and figures out):

    packet, payload_types, rtcp, quality, figures
    stats, latch
    session         one media stream of a call: who may send, what was sent
    shared_stats    figures that one process counts and another reads
    g711, sounds, program, pacing, outgoing, rtcp_writer, srtp, conversation   a phone that talks to the server itself
    udp, ports      sockets, bound in pairs
    poller, loop    waiting for packets and for commands of other threads
    pool            pairs between calls
    direction       the way of nearly every packet: read, counted, sent
    line            both directions of a settled stream, here or lent to a worker process
    channel, worker, worker_process, crew   worker processes: what is said, what they do, their start and their death
    leg             ports of a session: who is heard, who is learnt
    stream, endpoint, relay   what the rest of the program uses

Threads and locks: the thread `rtp-relay` runs the loop and alone changes latches, routes and, for streams in its hands,
statistics; a worker process is one thread that does the same with lines it was lent. Other threads hand the relay
commands through the loop's inbox. Leaf locks: the relay's table of sessions, the allocator's set of ports, and one per
session for what it has become and who counts. Order: none is taken while another is held.
"""
