/* The two SIP sockets, one for all callers and one for all callees, and the loop that reads them. */
#define _GNU_SOURCE
#include "sipload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#define SIP_BUFFER_BYTES (8 << 20)
#define SHORTEST_MESSAGE 16
#define MOST_READS 64
#define TIMER_PERIOD_NS (20 * NS_PER_MS)

int sip_port[2];
static int sip_socket[2], epoll;
static uint64_t timers_seen_ns;

/* Any free port.  A big buffer keeps a burst; without the right to force one, what the system allows. */
int open_udp_socket(int buffer_bytes, int *port) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    address local = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof local;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof buffer_bytes))
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer_bytes, sizeof buffer_bytes))
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
    if (bind(fd, (void *)&local, sizeof local) || getsockname(fd, (void *)&local, &length))
        die("no UDP socket: %s", strerror(errno));
    *port = ntohs(local.sin_port);
    return fd;
}

void open_sip_sockets(void) {
    epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int side = CALLER; side <= CALLEE; side++) {
        struct epoll_event event = {.events = EPOLLIN};
        sip_socket[side] = event.data.fd = open_udp_socket(SIP_BUFFER_BYTES, &sip_port[side]);
        epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
    }
}

static void show(const char *arrow, const address *peer, const char *bytes, size_t length) {
    if (options.verbose) fprintf(stderr, "%s port %d\n%.*s\n", arrow, ntohs(peer->sin_port), (int)length, bytes);
}

/* A datagram that can't be sent is lost, as datagrams are; the phones repeat what is not answered. */
void transmit(enum side from, const text *message, const address *to) {
    show(">>>", to, message->bytes, message->length);
    sendto(sip_socket[from], message->bytes, message->length, 0, (const void *)to, sizeof *to);
}

static void read_all(int fd) {
    static char buffer[65536];
    for (int reads = 0; reads < MOST_READS; reads++) {
        address source;
        socklen_t length = sizeof source;
        ssize_t size = recvfrom(fd, buffer, sizeof buffer - 1, 0, (void *)&source, &length);
        if (size < 0) return;
        if (size < SHORTEST_MESSAGE) continue;
        buffer[size] = 0;
        show("<<<", &source, buffer, size);
        slice message = {buffer, size};
        if (!strncmp(buffer, "SIP/2.0 ", 8))
            on_response(message);
        else
            on_request(message, &source);
    }
}

/* Waits for messages, handles them, and does what is due. */
void poll_sip(uint64_t longest_wait_ns) {
    struct epoll_event events[2];
    struct timespec wait = {longest_wait_ns / NS_PER_S, longest_wait_ns % NS_PER_S};
    int count = epoll_pwait2(epoll, events, 2, &wait, NULL);
    for (int i = 0; i < count; i++) read_all(events[i].data.fd);
    uint64_t now = monotonic_ns();
    bool repeat = now - timers_seen_ns > TIMER_PERIOD_NS;
    caller_timers(now, repeat);
    if (!repeat) return;
    timers_seen_ns = now;
    registration_timers(now);
    callee_timers(now);
}

void poll_sip_for(double seconds) {
    uint64_t end = monotonic_ns() + (uint64_t)(seconds * NS_PER_S);
    while (monotonic_ns() < end) poll_sip(10 * NS_PER_MS);
}
