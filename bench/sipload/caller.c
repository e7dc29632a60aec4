/* Phones that call: INVITE, ACK, a pause, BYE (RFC 3261 13.2, 15.1).
 *
 * Call i is from the i-th caller to the i-th callee.
 */
#define _GNU_SOURCE
#include "sipload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_ROUTES 16
#define HANG_UPS_AT_ONCE 8
#define LONGEST_HANG_UP_S 30

enum state { FREE, INVITING, HOLDING, ESTABLISHED, ENDING };

struct call {
    enum state state;
    int generation; /* so that two calls of one pair differ */
    int tries;
    bool counted, provisional, ringing, hangs_up_by_itself;
    uint64_t started_ns, ended_ns, due_ns;
    char to[256], target[256], routes[1024];
    address next_hop, media;
};

static struct call *calls;
static int call_count, under_way;
static int *free_calls, free_count, free_first; /* a ring, so that all pairs take their turn */

static void set_free(int index) {
    calls[index].state = FREE;
    free_calls[(free_first + free_count++) % call_count] = index;
}

/* Makes and registers the phones of so many calls. */
void prepare_calls(int count) {
    call_count = count;
    calls = calloc(count, sizeof *calls);
    free_calls = calloc(count, sizeof *free_calls);
    offered_media = calloc(count, sizeof *offered_media);
    if (!calls || !free_calls || !offered_media) die("out of memory");
    for (int index = 0; index < count; index++) set_free(index);
    add_phones(options.first_caller, count, CALLER);
    add_phones(options.first_callee, count, CALLEE);
    register_all();
}

int calls_under_way(void) { return under_way; }

int calls_established(void) {
    int established = 0;
    for (int index = 0; index < call_count; index++) established += calls[index].state == ESTABLISHED;
    return established;
}

/* Where the server wants the caller's packets; port 0 = not known. */
address call_media(int index) { return calls[index].media; }

/* The headers up to CSeq; the branch must be the INVITE's for an ACK to a failure (17.1.1.3). */
static text request_of(int index, const char *method, int cseq, const char *branch, bool in_dialog) {
    struct call *call = &calls[index];
    int caller = options.first_caller + index, callee = options.first_callee + index;
    text message = {.length = 0};
    if (in_dialog)
        put(&message, "%s %s SIP/2.0\r\n", method, call->target);
    else
        put(&message, "%s sip:%d@127.0.0.1:%d SIP/2.0\r\n", method, callee, options.server_port);
    put(&message,
        "Via: SIP/2.0/UDP 127.0.0.1:%d;rport;branch=z9hG4bKc%d.%d.%s.%x\r\n"
        "%sMax-Forwards: 70\r\n"
        "From: \"%d\" <sip:%d@127.0.0.1>;tag=c%d.%d.%x\r\n",
        sip_port[CALLER], index, call->generation, branch, run_id, in_dialog ? call->routes : "", caller, caller, index,
        call->generation, run_id);
    if (call->to[0])
        put(&message, "To: %s\r\n", call->to);
    else
        put(&message, "To: <sip:%d@127.0.0.1>\r\n", callee);
    put(&message, "Call-ID: c%d.%d.%x@sipload\r\nCSeq: %d %s\r\n", index, call->generation, run_id, cseq, method);
    return message;
}

static void transmit_invite(int index) {
    text message = request_of(index, "INVITE", 1, "invite", false), body = {.length = 0};
    put_sdp(&body, media_port_of(CALLER, index));
    put(&message,
        "Contact: <sip:%d@127.0.0.1:%d>\r\n"
        "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, REFER, MESSAGE, INFO\r\n"
        "Supported: replaces\r\n"
        "User-Agent: sipload\r\n",
        options.first_caller + index, sip_port[CALLER]);
    put_body(&message, &body);
    transmit(CALLER, &message, &server);
}

static void transmit_in_dialog(int index, const char *method, int cseq, const char *branch) {
    text message = request_of(index, method, cseq, branch, true);
    put(&message, "User-Agent: sipload\r\nContent-Length: 0\r\n\r\n");
    transmit(CALLER, &message, &calls[index].next_hop);
}

static void acknowledge_failure(int index, slice to) {
    struct call *call = &calls[index];
    snprintf(call->to, sizeof call->to, "%.*s", (int)to.length, to.at);
    text message = request_of(index, "ACK", 1, "invite", false);
    put(&message, "Content-Length: 0\r\n\r\n");
    transmit(CALLER, &message, &server);
}

/* The next free pair; false when all are talking. */
bool call_next(bool hang_up_by_itself) {
    if (!free_count) return false;
    int index = free_calls[free_first];
    free_first = (free_first + 1) % call_count;
    free_count--;
    uint64_t now = monotonic_ns();
    calls[index] = (struct call){.state = INVITING,
                                 .generation = calls[index].generation + 1,
                                 .counted = counting,
                                 .hangs_up_by_itself = hang_up_by_itself,
                                 .started_ns = now,
                                 .due_ns = now + 500 * NS_PER_MS};
    under_way++;
    counters.started += counting;
    transmit_invite(index);
    return true;
}

static void finish(int index, int status) {
    struct call *call = &calls[index];
    if (call->counted) {
        counters.ok += status / 100 == 2;
        if (status / 100 != 2) {
            counters.failed++;
            counters.status[status]++;
        }
    }
    under_way--;
    set_free(index);
}

static void hang_up(int index) {
    struct call *call = &calls[index];
    call->state = ENDING;
    call->tries = 0;
    call->ended_ns = monotonic_ns();
    call->due_ns = call->ended_ns + 500 * NS_PER_MS;
    transmit_in_dialog(index, "BYE", 2, "bye");
}

/* Splits a Record-Route value at the commas outside angle brackets. */
static int split_routes(slice value, slice *routes, int count) {
    const char *end = value.at + value.length;
    for (const char *begin = value.at; begin < end && count < MOST_ROUTES;) {
        const char *stop = begin;
        for (bool inside = false; stop < end && (inside || *stop != ','); stop++) {
            if (*stop == '<') inside = true;
            if (*stop == '>') inside = false;
        }
        routes[count++] = slice_of(begin, stop);
        begin = stop + 1;
        while (begin < end && *begin == ' ') begin++;
    }
    return count;
}

static void set_target(struct call *call, slice contact) {
    const char *end = contact.at + contact.length, *uri = find(contact, "sip:");
    if (!uri) return;
    const char *stop = memchr(uri, '>', end - uri);
    if (!stop && !(stop = memchr(uri, ';', end - uri))) stop = end;
    snprintf(call->target, sizeof call->target, "%.*s", (int)(stop - uri), uri);
    uri_address(contact, &call->next_hop);
}

/* Remote target, route set in reverse order, and the next hop (12.1.2, 12.2.1.1). */
static void take_dialog(struct call *call, slice response) {
    slice line, value, routes[MOST_ROUTES];
    int route_count = 0;
    text route_set = {.length = 0};
    call->next_hop = server;
    next_line(&response, &line);
    while (next_line(&response, &line)) {
        if (header_value(line, "To", 't', &value))
            snprintf(call->to, sizeof call->to, "%.*s", (int)value.length, value.at);
        else if (header_value(line, "Contact", 'm', &value))
            set_target(call, value);
        else if (header_value(line, "Record-Route", 0, &value))
            route_count = split_routes(value, routes, route_count);
    }
    for (int i = route_count - 1; i >= 0; i--) put(&route_set, "Route: %.*s\r\n", (int)routes[i].length, routes[i].at);
    snprintf(call->routes, sizeof call->routes, "%.*s", (int)route_set.length, route_set.bytes);
    if (route_count) uri_address(routes[route_count - 1], &call->next_hop);
}

static void on_invite_response(int index, int status, slice response, slice to) {
    struct call *call = &calls[index];
    uint64_t now = monotonic_ns();
    if (status < 200) {
        call->provisional = true;
        if (status >= 180 && !call->ringing) {
            call->ringing = true;
            if (call->counted) add_sample(&counters.ringing, now - call->started_ns);
        }
    } else if (call->state != INVITING) {
        if (status < 300) transmit_in_dialog(index, "ACK", 1, "ack");
    } else if (status >= 300) {
        acknowledge_failure(index, to);
        finish(index, status);
    } else {
        if (call->counted) add_sample(&counters.answered, now - call->started_ns);
        take_dialog(call, response);
        if (!sdp_audio_address(response, &call->media)) call->media.sin_port = 0;
        transmit_in_dialog(index, "ACK", 1, "ack");
        call->state = call->hangs_up_by_itself ? HOLDING : ESTABLISHED;
        call->due_ns = now + options.hold_ms * NS_PER_MS;
    }
}

/* Registrations have Call-IDs that begin with r, calls with c. */
void on_response(slice response) {
    slice rest = response, line, value, call_id = {.length = 0}, cseq = {.length = 0}, to = {.length = 0};
    int status = atoi(response.at + 8), index, generation;
    next_line(&rest, &line);
    while (next_line(&rest, &line)) {
        if (header_value(line, "Call-ID", 'i', &value)) call_id = value;
        if (header_value(line, "CSeq", 0, &value)) cseq = value;
        if (header_value(line, "To", 't', &value)) to = value;
    }
    if (!call_id.length || !cseq.length || status < 100 || status >= 700) return;
    if (call_id.at[0] == 'r') {
        on_register_response(atoi(call_id.at + 1), atoi(cseq.at), status);
        return;
    }
    if (sscanf(call_id.at, "c%d.%d.", &index, &generation) != 2 || index < 0 || index >= call_count) return;
    struct call *call = &calls[index];
    if (call->generation != generation || call->state == FREE) return;
    if (find(cseq, " INVITE")) {
        on_invite_response(index, status, response, to);
    } else if (find(cseq, " BYE") && call->state == ENDING && status >= 200) {
        if (call->counted) add_sample(&counters.ended, monotonic_ns() - call->ended_ns);
        finish(index, status);
    }
}

/* Pauses that are over and, when asked for, timers A, B, E and F, coarsely. */
void caller_timers(uint64_t now, bool retransmit) {
    for (int index = 0; index < call_count; index++) {
        struct call *call = &calls[index];
        if (call->state == FREE || call->state == ESTABLISHED || now < call->due_ns) continue;
        if (call->state == HOLDING) {
            hang_up(index);
            continue;
        }
        if (!retransmit) continue;
        if (now - (call->state == ENDING ? call->ended_ns : call->started_ns) > options.timeout_ms * NS_PER_MS) {
            finish(index, 408);
            continue;
        }
        if (call->tries < 3) call->tries++;
        call->due_ns = now + (500 * NS_PER_MS << call->tries);
        if (call->state == INVITING && call->provisional) continue;
        counters.retransmissions += call->counted;
        if (call->state == INVITING)
            transmit_invite(index);
        else
            transmit_in_dialog(index, "BYE", 2, "bye");
    }
}

/* Ends the established calls, a few at a time. */
void hang_up_all(void) {
    uint64_t limit = monotonic_ns() + LONGEST_HANG_UP_S * NS_PER_S;
    while (under_way && monotonic_ns() < limit) {
        int ending = 0;
        for (int index = 0; index < call_count; index++) ending += calls[index].state == ENDING;
        for (int index = 0; index < call_count && ending < HANG_UPS_AT_ONCE; index++)
            if (calls[index].state == ESTABLISHED) {
                hang_up(index);
                ending++;
            }
        poll_sip(2 * NS_PER_MS);
    }
}
