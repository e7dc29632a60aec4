/* Phones that register and refresh (RFC 3261 10.2). */
#include "sipload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE 16
#define LONGEST_S 60

struct phone {
    int number;
    enum side side;
    bool busy, counted, registered;
    int cseq, tries;
    uint64_t started_ns, repeat_ns;
};

static struct phone *phones;
static int phone_count, under_way, next_phone;

void add_phones(int first_number, int count, enum side side) {
    phones = realloc(phones, (phone_count + count) * sizeof *phones);
    if (!phones) die("out of memory");
    for (int i = 0; i < count; i++) phones[phone_count++] = (struct phone){.number = first_number + i, .side = side};
}

int registrations_under_way(void) { return under_way; }

static void transmit_register(int index) {
    struct phone *phone = &phones[index];
    int number = phone->number, port = sip_port[phone->side];
    text message = {.length = 0};
    put(&message,
        "REGISTER sip:127.0.0.1:%d SIP/2.0\r\n"
        "Via: SIP/2.0/UDP 127.0.0.1:%d;rport;branch=z9hG4bKr%d.%d.%x\r\n"
        "Max-Forwards: 70\r\n"
        "From: \"%d\" <sip:%d@127.0.0.1>;tag=r%d%x\r\n"
        "To: \"%d\" <sip:%d@127.0.0.1>\r\n"
        "Call-ID: r%d.%x@sipload\r\n"
        "CSeq: %d REGISTER\r\n"
        "Contact: <sip:%d@127.0.0.1:%d>\r\n"
        "Expires: 3600\r\n"
        "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, REFER, MESSAGE, INFO\r\n"
        "User-Agent: sipload\r\n"
        "Content-Length: 0\r\n\r\n",
        options.server_port, port, index, phone->cseq, run_id, number, number, index, run_id, number, number, index,
        run_id, phone->cseq, number, port);
    transmit(phone->side, &message, &server);
}

static void start(int index) {
    struct phone *phone = &phones[index];
    phone->busy = true;
    phone->counted = counting;
    phone->cseq++;
    phone->tries = 0;
    phone->started_ns = monotonic_ns();
    phone->repeat_ns = phone->started_ns + 500 * NS_PER_MS;
    under_way++;
    counters.started += counting;
    transmit_register(index);
}

/* The next phone in turn refreshes; false when all are waiting for an answer. */
bool register_next(void) {
    for (int tries = 0; tries < phone_count; tries++) {
        int index = next_phone;
        next_phone = (next_phone + 1) % phone_count;
        if (!phones[index].busy) {
            start(index);
            return true;
        }
    }
    return false;
}

static void finish(struct phone *phone, int status) {
    phone->busy = false;
    phone->registered = status / 100 == 2;
    under_way--;
    if (!phone->counted) return;
    if (phone->registered) {
        counters.ok++;
        add_sample(&counters.registered, monotonic_ns() - phone->started_ns);
    } else {
        counters.failed++;
        counters.status[status]++;
    }
}

void on_register_response(int index, int cseq, int status) {
    if (index < 0 || index >= phone_count || status < 200 || status >= 700) return;
    struct phone *phone = &phones[index];
    if (phone->busy && phone->cseq == cseq) finish(phone, status);
}

/* Timers E and F, coarsely. */
void registration_timers(uint64_t now) {
    for (int index = 0; index < phone_count; index++) {
        struct phone *phone = &phones[index];
        if (!phone->busy || now < phone->repeat_ns) continue;
        if (now - phone->started_ns > options.timeout_ms * NS_PER_MS) {
            finish(phone, 408);
            continue;
        }
        if (phone->tries < 3) phone->tries++;
        phone->repeat_ns = now + (500 * NS_PER_MS << phone->tries);
        counters.retransmissions += phone->counted;
        transmit_register(index);
    }
}

/* Every phone once, before the timed part. */
void register_all(void) {
    uint64_t limit = monotonic_ns() + LONGEST_S * NS_PER_S;
    int begun = 0, missing = 0;
    while ((begun < phone_count || under_way) && monotonic_ns() < limit) {
        while (begun < phone_count && under_way < AT_ONCE) start(begun++);
        poll_sip(5 * NS_PER_MS);
    }
    for (int index = 0; index < phone_count; index++) missing += !phones[index].registered;
    if (missing) die("%d of %d phones could not register", missing, phone_count);
}
