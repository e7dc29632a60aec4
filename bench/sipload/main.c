/* sipload register|calls|media --server PORT [--option value]...
 *
 *   register  phones refresh their registrations
 *   calls     INVITE, 180, 200, ACK, BYE, 200
 *   media     standing calls with RTP both ways
 *
 * Prints BEGIN and END around the timed part, waits for a line on stdin after each, and prints one JSON object.
 */
#define _GNU_SOURCE
#include "sipload.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define LONGEST_TIMED_PART_S 600
#define SHORTEST_WAIT_NS 200000ull
#define MOST_STARTS 200 /* between two looks at the sockets */

struct options options = {
    .first_caller = 1000,
    .first_callee = 2000,
    .phones = 100,
    .at_once = 16,
    .limit = 2000000,
    .seconds = 5,
    .warm_s = 1,
    .timeout_ms = 10000,
    .sockets = 4,
    .packet_rate = 50,
};
struct counters counters;
bool counting;
uint32_t run_id;
address server = {.sin_family = AF_INET};

static uint64_t wait_for_rate(void) {
    uint64_t wait = options.rate > 0 ? (uint64_t)(NS_PER_S / options.rate) : 2 * NS_PER_MS;
    if (wait > 2 * NS_PER_MS) return 2 * NS_PER_MS;
    return wait < SHORTEST_WAIT_NS ? SHORTEST_WAIT_NS : wait;
}

static bool start_call(void) { return call_next(true); }

/* The timed part of the modes that count operations; then those under way may end. */
static void run_operations(const char *name, bool (*start)(void), int (*under_way)(void)) {
    mark("BEGIN");
    uint64_t begin = monotonic_ns(), end = begin + (uint64_t)(options.seconds * NS_PER_S), wait = wait_for_rate(), now;
    double cpu_s = cpu_seconds();
    counting = true;
    while ((now = monotonic_ns()) < end && counters.started < options.limit) {
        if (options.rate > 0) {
            long due = (long)((now - begin) * options.rate / 1e9);
            for (int i = 0; i < MOST_STARTS && counters.started + counters.not_started < due; i++)
                if (!start()) counters.not_started++;
        } else {
            while (under_way() < options.at_once && counters.started < options.limit && start()) {
            }
        }
        poll_sip(wait);
    }
    double seconds = (monotonic_ns() - begin) / 1e9;
    counting = false;
    uint64_t limit = monotonic_ns() + (options.timeout_ms + 1000) * NS_PER_MS;
    while (under_way() && monotonic_ns() < limit) poll_sip(2 * NS_PER_MS);
    cpu_s = cpu_seconds() - cpu_s;
    mark("END");
    printf("{\"mode\":\"%s\",", name);
    print_samples("registered_ms", &counters.registered);
    print_samples("ringing_ms", &counters.ringing);
    print_samples("answered_ms", &counters.answered);
    print_samples("ended_ms", &counters.ended);
    print_counters(seconds, cpu_s);
}

static void read_option(const char *name, const char *value) {
    const struct {
        const char *name;
        int *whole;
        double *real;
        bool *flag;
    } table[] = {
        {"--server", .whole = &options.server_port},
        {"--first-caller", .whole = &options.first_caller},
        {"--first-callee", .whole = &options.first_callee},
        {"--phones", .whole = &options.phones},
        {"--rate", .real = &options.rate},
        {"--at-once", .whole = &options.at_once},
        {"--limit", .whole = &options.limit},
        {"--seconds", .real = &options.seconds},
        {"--warm", .real = &options.warm_s},
        {"--hold-ms", .whole = &options.hold_ms},
        {"--timeout-ms", .whole = &options.timeout_ms},
        {"--sockets", .whole = &options.sockets},
        {"--packet-rate", .real = &options.packet_rate},
        {"--direct", .flag = &options.direct},
        {"--verbose", .flag = &options.verbose},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(name, table[i].name)) {
            if (table[i].whole) *table[i].whole = atoi(value);
            if (table[i].real) *table[i].real = atof(value);
            if (table[i].flag) *table[i].flag = atoi(value) != 0;
            return;
        }
    die("unknown option %s", name);
}

int main(int count, char **arguments) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_TIMERSLACK, 1);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (count < 2 || count % 2) die("usage: sipload register|calls|media --server PORT [--option value]...");
    options.mode = arguments[1];
    for (int i = 2; i < count; i += 2) read_option(arguments[i], arguments[i + 1]);
    if (options.seconds > LONGEST_TIMED_PART_S) options.seconds = LONGEST_TIMED_PART_S;
    if (options.phones < 1 || options.sockets < 1) die("at least one phone and one socket");
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server.sin_port = htons(options.server_port);
    run_id = (uint32_t)wall_ns() ^ ((uint32_t)getpid() << 16);
    open_sip_sockets();
    open_media_sockets();
    if (!strcmp(options.mode, "register")) {
        add_phones(options.first_caller, options.phones, CALLER);
        register_all();
        run_operations("register", register_next, registrations_under_way);
    } else if (!strcmp(options.mode, "calls")) {
        prepare_calls(options.phones);
        run_operations("calls", start_call, calls_under_way);
    } else if (!strcmp(options.mode, "media")) {
        media_mode();
    } else {
        die("unknown mode %s", options.mode);
    }
    return 0;
}
