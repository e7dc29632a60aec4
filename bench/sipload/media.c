/* Standing calls with media: G.711-sized RTP packets (RFC 3550 5.1, RFC 3551), evenly spread, both ways.
 *
 * One thread sends, one receives; the main thread keeps the signalling.  A packet carries the time at which it was
 * handed to the kernel; its delay runs from there to the kernel's stamp at its arrival, so the generator's own waiting
 * for the processor does not count.
 */
#define _GNU_SOURCE
#include "sipload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define MEDIA_BUFFER_BYTES (16 << 20)
#define TICK_NS 500000ull
#define MAGIC 0x53504c44u
#define FIRST_SSRC 0xabc00000u
#define SAMPLES_PER_PACKET 160
#define CALLS_AT_ONCE 8
#define LONGEST_SETUP_S 60
#define LATE_NS (400 * NS_PER_MS)
#define BACKLOG 20000 /* packets: a generator so far behind was stopped, and starts its schedule anew */

/* 172 bytes: the RTP header, then what the receiver needs in place of the sound. */
typedef struct __attribute__((packed)) {
    uint8_t version, payload_type;
    uint16_t sequence_number;
    uint32_t rtp_timestamp, ssrc;
    uint32_t magic, counted;
    uint64_t sent_ns;
    uint32_t stream, number;
    uint8_t padding[136];
} packet;

_Static_assert(sizeof(packet) == 172, "20 ms of G.711 with its RTP header");

struct batch {
    packet packets[BATCH];
    struct iovec parts[BATCH];
    struct mmsghdr messages[BATCH];
    int count;
};

int *media_port[2];
static int *media_socket[2];

/* Stream 2i is from the caller of call i, stream 2i + 1 from its callee. */
static int stream_count;
static address *destination;

static atomic_bool window, sender_stops, receiver_stops;
static uint64_t sent, received, misrouted, reordered, send_errors, window_ns;
static samples delays;

void open_media_sockets(void) {
    for (int side = CALLER; side <= CALLEE; side++) {
        media_port[side] = calloc(options.sockets, sizeof **media_port);
        media_socket[side] = calloc(options.sockets, sizeof **media_socket);
        for (int i = 0; i < options.sockets; i++) {
            int fd = open_udp_socket(MEDIA_BUFFER_BYTES, &media_port[side][i]), on = 1;
            setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
            media_socket[side][i] = fd;
        }
    }
}

int media_port_of(enum side side, int call) { return media_port[side][call % options.sockets]; }

static void prefer_this_thread(void) {
    setpriority(PRIO_PROCESS, syscall(SYS_gettid), -10);
    prctl(PR_SET_TIMERSLACK, 1);
}

/* ------------------------------------------------------------------------------------------------------- receiving */

static uint64_t arrival_ns(struct msghdr *message) {
    for (struct cmsghdr *item = CMSG_FIRSTHDR(message); item; item = CMSG_NXTHDR(message, item))
        if (item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec stamp;
            memcpy(&stamp, CMSG_DATA(item), sizeof stamp);
            return stamp.tv_sec * NS_PER_S + stamp.tv_nsec;
        }
    return wall_ns();
}

/* Misrouted is what arrives anywhere but at the other party of its call. */
static void take_packet(const packet *got, enum side side, int index, uint64_t arrived_ns, uint32_t *last) {
    uint32_t stream = got->stream;
    if (got->magic != MAGIC || stream >= (uint32_t)stream_count) return;
    enum side expected = stream % 2 ? CALLER : CALLEE;
    if (side != expected || index != (int)(stream / 2) % options.sockets || got->ssrc != htonl(FIRST_SSRC + stream)) {
        misrouted++;
        return;
    }
    if (got->number < last[stream])
        reordered++;
    else
        last[stream] = got->number;
    if (!got->counted) return;
    received++;
    add_sample(&delays, arrived_ns > got->sent_ns ? arrived_ns - got->sent_ns : 0);
}

static void receive_batch(enum side side, int index, uint32_t *last) {
    static packet packets[BATCH];
    static char control[BATCH][64];
    struct iovec parts[BATCH];
    struct mmsghdr messages[BATCH];
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){&packets[i], sizeof packets[i]};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i],
                                                   .msg_iovlen = 1,
                                                   .msg_control = control[i],
                                                   .msg_controllen = sizeof control[i]}};
    }
    int count = recvmmsg(media_socket[side][index], messages, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++)
        if (messages[i].msg_len == sizeof(packet))
            take_packet(&packets[i], side, index, arrival_ns(&messages[i].msg_hdr), last);
}

static void *receive(void *unused) {
    (void)unused;
    prefer_this_thread();
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    uint32_t *last = calloc(stream_count, sizeof *last);
    for (int side = CALLER; side <= CALLEE; side++)
        for (int i = 0; i < options.sockets; i++) {
            struct epoll_event event = {.events = EPOLLIN, .data.u32 = side * options.sockets + i};
            epoll_ctl(epoll, EPOLL_CTL_ADD, media_socket[side][i], &event);
        }
    while (!receiver_stops) {
        struct epoll_event events[32];
        int count = epoll_wait(epoll, events, 32, 20);
        for (int i = 0; i < count; i++)
            receive_batch(events[i].data.u32 / options.sockets, events[i].data.u32 % options.sockets, last);
    }
    free(last);
    close(epoll);
    return NULL;
}

/* --------------------------------------------------------------------------------------------------------- sending */

static struct batch *new_batches(void) {
    struct batch *batches = calloc(2 * options.sockets, sizeof *batches);
    if (!batches) die("out of memory");
    for (int b = 0; b < 2 * options.sockets; b++)
        for (int i = 0; i < BATCH; i++) {
            batches[b].parts[i] = (struct iovec){&batches[b].packets[i], sizeof(packet)};
            batches[b].messages[i].msg_hdr = (struct msghdr){
                .msg_iov = &batches[b].parts[i], .msg_iovlen = 1, .msg_namelen = sizeof(address)};
        }
    return batches;
}

static void flush(struct batch *batch, int fd, bool counted) {
    uint64_t now = wall_ns();
    for (int i = 0; i < batch->count; i++) batch->packets[i].sent_ns = now;
    for (int done = 0; done < batch->count;) {
        int accepted = sendmmsg(fd, batch->messages + done, batch->count - done, 0);
        if (accepted <= 0) {
            send_errors++;
            accepted = 1;
        } else if (counted) {
            sent += accepted;
        }
        done += accepted;
    }
    batch->count = 0;
}

static void add_packet(struct batch *batch, uint32_t stream, uint32_t number, bool counted) {
    int i = batch->count++;
    packet *next = &batch->packets[i];
    next->version = 0x80;
    next->payload_type = number ? 0 : 0x80; /* PCMU; the marker bit on the first packet */
    next->sequence_number = htons(number);
    next->rtp_timestamp = htonl(number * SAMPLES_PER_PACKET);
    next->ssrc = htonl(FIRST_SSRC + stream);
    next->magic = MAGIC;
    next->counted = counted;
    next->stream = stream;
    next->number = number;
    batch->messages[i].msg_hdr.msg_name = &destination[stream];
}

static void sleep_until(uint64_t ns) {
    struct timespec time = {ns / NS_PER_S, ns % NS_PER_S};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

static void *send_all(void *unused) {
    (void)unused;
    prefer_this_thread();
    struct batch *batches = new_batches();
    uint32_t *number = calloc(stream_count, sizeof *number), stream = 0;
    double rate = options.packet_rate * stream_count;
    uint64_t begin_ns = monotonic_ns(), tick = 0, done = 0, window_began_ns = 0;
    bool counted = false;
    while (!sender_stops) {
        sleep_until(begin_ns + ++tick * TICK_NS);
        uint64_t now = monotonic_ns(), due = (uint64_t)((now - begin_ns) * rate / 1e9);
        if (window != counted) {
            counted = window;
            if (counted)
                window_began_ns = now;
            else
                window_ns = now - window_began_ns;
        }
        if (due - done > BACKLOG) {
            begin_ns = now;
            tick = done = 0;
            continue;
        }
        for (; done < due; done++, stream = (stream + 1) % stream_count) {
            enum side side = stream % 2 ? CALLEE : CALLER;
            int index = (stream / 2) % options.sockets;
            struct batch *batch = &batches[side * options.sockets + index];
            add_packet(batch, stream, number[stream]++, counted);
            if (batch->count == BATCH) flush(batch, media_socket[side][index], counted);
        }
        for (int b = 0; b < 2 * options.sockets; b++)
            if (batches[b].count) flush(&batches[b], media_socket[b / options.sockets][b % options.sockets], counted);
    }
    free(batches);
    free(number);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------------ mode */

static void establish_calls(void) {
    prepare_calls(options.phones);
    uint64_t limit = monotonic_ns() + LONGEST_SETUP_S * NS_PER_S;
    counting = true;
    while (calls_established() + counters.failed < options.phones && monotonic_ns() < limit) {
        while (counters.started < options.phones &&
               counters.started - calls_established() - counters.failed < CALLS_AT_ONCE && call_next(false)) {
        }
        poll_sip(2 * NS_PER_MS);
    }
    counting = false;
}

/* Fills `destination`; returns how many calls have media that do not pass the server. */
static int choose_destinations(void) {
    int unanchored = 0;
    for (int call = 0; call < options.phones; call++) {
        address *from_caller = &destination[2 * call], *from_callee = &destination[2 * call + 1];
        int caller_port = media_port_of(CALLER, call), callee_port = media_port_of(CALLEE, call);
        if (options.direct) {
            *from_caller = *from_callee = server;
            from_caller->sin_port = htons(callee_port);
            from_callee->sin_port = htons(caller_port);
        } else {
            *from_caller = call_media(call);
            *from_callee = offered_media[call];
            if (!from_caller->sin_port || !from_callee->sin_port) die("an SDP without an audio address");
        }
        unanchored += ntohs(from_caller->sin_port) == callee_port && ntohs(from_callee->sin_port) == caller_port;
    }
    return unanchored;
}

static void keep_going(double seconds) {
    if (options.direct)
        usleep((useconds_t)(seconds * 1e6));
    else
        poll_sip_for(seconds);
}

void media_mode(void) {
    pthread_t sender, receiver;
    stream_count = 2 * options.phones;
    destination = calloc(stream_count, sizeof *destination);
    if (!options.direct) establish_calls();
    bool complete = options.direct || calls_established() == options.phones;
    int unanchored = complete ? choose_destinations() : 0;
    if (complete) {
        pthread_create(&receiver, NULL, receive, NULL);
        pthread_create(&sender, NULL, send_all, NULL);
        keep_going(options.warm_s);
    }
    mark("BEGIN");
    double cpu_s = cpu_seconds();
    if (complete) {
        window = true;
        keep_going(options.seconds);
        window = false;
    }
    mark("END");
    cpu_s = cpu_seconds() - cpu_s;
    if (complete) {
        sender_stops = true;
        pthread_join(sender, NULL);
        usleep(LATE_NS / 1000);
        receiver_stops = true;
        pthread_join(receiver, NULL);
    }
    hang_up_all();
    printf("{\"mode\":\"media\",\"calls\":%d,\"anchored\":%s,\"sent\":%lu,\"received\":%lu,\"misrouted\":%lu,"
           "\"reordered\":%lu,\"send_errors\":%lu,",
           options.phones, complete && !unanchored ? "true" : "false", sent, received, misrouted, reordered,
           send_errors);
    print_samples("delay_ms", &delays);
    print_samples("answered_ms", &counters.answered);
    print_counters(window_ns / 1e9, cpu_s);
}
