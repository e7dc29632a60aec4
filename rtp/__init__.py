"""The media relay: packets of a call go from one phone to the other through ports of the server, unchanged.

Layers, lowest first; the first group is pure (bytes, addresses and `now` in, decisions and figures out):

    packet, payload_types, rtcp, quality, figures
    stats, latch
    session         one media stream of a call: who may send, what was sent
    udp, ports      sockets, bound in pairs
    poller, loop    waiting for packets and for commands of other threads
    leg, relay      packets in and out; what the rest of the program uses

Threads and locks: the thread `rtp-relay` runs the loop and alone changes latches, statistics and routes. Other threads
hand it commands through the loop's inbox and read counters, each of which is replaced in one step. Leaf locks: the
relay's table of sessions, the allocator's set of ports, and one per session for the life of its sockets.
"""
