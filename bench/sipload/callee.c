/* Phones that are called: they ring, answer at once, and end when told to.
 *
 * A call is known by its Call-ID.  Its 200 is repeated until the ACK comes (RFC 3261 13.3.1.4).
 */
#define _GNU_SOURCE
#include "sipload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 16384
#define MOST_REPEATS 7
#define LONGEST_CALL_ID 160

struct answer {
    struct answer *next;             /* in its bucket, or in the list of free ones */
    struct answer *earlier, *later;  /* in the ring of those without an ACK; itself when it is in none */
    char call_id[LONGEST_CALL_ID];
    text response;
    address to;
    bool acknowledged;
    int tries;
    uint64_t repeat_ns;
};

address *offered_media;
static struct answer *buckets[BUCKETS], *unused;
static struct answer waiting = {.earlier = &waiting, .later = &waiting};

static uint32_t hash(slice key) {
    uint32_t value = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < key.length; i++) value = (value ^ (uint8_t)key.at[i]) * 16777619u;
    return value;
}

/* Where the answer of that call hangs, or would. */
static struct answer **place_of(slice call_id) {
    struct answer **place = &buckets[hash(call_id) % BUCKETS];
    while (*place && (strlen((*place)->call_id) != call_id.length ||
                      memcmp((*place)->call_id, call_id.at, call_id.length)))
        place = &(*place)->next;
    return place;
}

static void leave_ring(struct answer *answer) {
    answer->earlier->later = answer->later;
    answer->later->earlier = answer->earlier;
    answer->earlier = answer->later = answer;
}

static void join_ring(struct answer *answer, uint64_t repeat_ns) {
    leave_ring(answer);
    answer->repeat_ns = repeat_ns;
    answer->earlier = waiting.earlier;
    answer->later = &waiting;
    waiting.earlier->later = answer;
    waiting.earlier = answer;
}

static struct answer *new_answer(struct answer **place, slice call_id) {
    struct answer *answer = unused;
    if (answer)
        unused = answer->next;
    else if (!(answer = malloc(sizeof *answer)))
        die("out of memory");
    *answer = (struct answer){.earlier = answer, .later = answer};
    memcpy(answer->call_id, call_id.at, call_id.length);
    *place = answer;
    return answer;
}

static void forget(struct answer **place) {
    struct answer *answer = *place;
    if (!answer) return;
    leave_ring(answer);
    *place = answer->next;
    answer->next = unused;
    unused = answer;
}

/* The headers every response copies (8.2.6.2), with our tag on To. */
static text response_to(slice request, const char *status, uint32_t tag) {
    text response = {.length = 0};
    slice line, value;
    put(&response, "SIP/2.0 %s\r\n", status);
    next_line(&request, &line);
    while (next_line(&request, &line)) {
        bool to = header_value(line, "To", 't', &value);
        if (!to && !header_value(line, "Via", 'v', &value) && !header_value(line, "Record-Route", 0, &value) &&
            !header_value(line, "From", 'f', &value) && !header_value(line, "Call-ID", 'i', &value) &&
            !header_value(line, "CSeq", 0, &value))
            continue;
        put_slice(&response, line);
        if (to && !find(value, ";tag=")) put(&response, ";tag=u%x", tag);
        put(&response, "\r\n");
    }
    put(&response, "User-Agent: sipload\r\n");
    return response;
}

static void reply(slice request, const char *status, uint32_t tag, const address *to) {
    static const text no_body;
    text response = response_to(request, status, tag);
    put_body(&response, &no_body);
    transmit(CALLEE, &response, to);
}

static void on_invite(slice request, slice call_id, const address *source) {
    struct answer **place = place_of(call_id), *answer = *place;
    if (answer) {
        if (!answer->acknowledged) transmit(CALLEE, &answer->response, source);
        return;
    }
    const char *uri = find(request, "sip:");
    int number = uri ? atoi(uri + 4) : 0, call = number - options.first_callee;
    if (call < 0 || call >= options.phones) {
        reply(request, "404 Not Found", hash(call_id), source);
        return;
    }
    if (!sdp_audio_address(request, &offered_media[call])) offered_media[call].sin_port = 0;
    reply(request, "180 Ringing", hash(call_id), source);
    answer = new_answer(place, call_id);
    answer->to = *source;
    answer->response = response_to(request, "200 OK", hash(call_id));
    text body = {.length = 0};
    put_sdp(&body, media_port_of(CALLEE, call));
    put(&answer->response, "Contact: <sip:%d@127.0.0.1:%d>\r\n", number, sip_port[CALLEE]);
    put_body(&answer->response, &body);
    transmit(CALLEE, &answer->response, source);
    join_ring(answer, monotonic_ns() + 500 * NS_PER_MS);
}

void on_request(slice request, const address *source) {
    slice rest = request, line, value, call_id = {.length = 0};
    next_line(&rest, &line);
    while (next_line(&rest, &line))
        if (header_value(line, "Call-ID", 'i', &value)) call_id = value;
    if (!call_id.length || call_id.length >= LONGEST_CALL_ID) return;
    if (!strncmp(request.at, "INVITE ", 7)) {
        on_invite(request, call_id, source);
    } else if (!strncmp(request.at, "ACK ", 4)) {
        struct answer *answer = *place_of(call_id);
        if (answer) {
            answer->acknowledged = true;
            leave_ring(answer);
        }
    } else {
        if (!strncmp(request.at, "BYE ", 4)) forget(place_of(call_id));
        reply(request, "200 OK", hash(call_id), source);
    }
}

/* The ring is only nearly in order of time, which does for repeats half a second apart and more. */
void callee_timers(uint64_t now) {
    struct answer *answer = waiting.later;
    while (answer != &waiting && answer->repeat_ns <= now) {
        struct answer *later = answer->later;
        leave_ring(answer);
        if (++answer->tries < MOST_REPEATS) {
            counters.retransmissions += counting;
            transmit(CALLEE, &answer->response, &answer->to);
            join_ring(answer, now + (500 * NS_PER_MS << (answer->tries < 3 ? answer->tries : 3)));
        }
        answer = later;
    }
}
