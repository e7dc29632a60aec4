/* sipload: SIP phones by the hundred, for measuring one server on this machine.
 *
 * All phones of a kind share few sockets and one thread, so that the generator stays far cheaper than what it measures.
 * It speaks UDP on 127.0.0.1 alone, and every loop has an end in time and in count.
 */
#ifndef SIPLOAD_H
#define SIPLOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NS_PER_S 1000000000ull
#define NS_PER_MS 1000000ull

typedef struct sockaddr_in address;

/* A piece of a received message; never ends in NUL. */
typedef struct {
    const char *at;
    size_t length;
} slice;

/* A message being written; writing past its end ends the program. */
typedef struct {
    char bytes[4096];
    size_t length;
} text;

typedef struct {
    uint32_t *ns;
    size_t count, room;
} samples;

enum side { CALLER, CALLEE };

struct options {
    const char *mode;   /* register, calls or media */
    int server_port;    /* the server's, on 127.0.0.1 */
    int first_caller;   /* number of the first phone that registers or calls */
    int first_callee;   /* number of the first phone that is called */
    int phones;         /* phones that register; pairs of phones that call */
    double rate;        /* operations begun a second; 0 = as fast as they are answered */
    int at_once;        /* operations under way at once when rate is 0 */
    int limit;          /* most operations in the timed part */
    double seconds;     /* length of the timed part */
    double warm_s;      /* media flow for so long before the timed part */
    int hold_ms;        /* from answer to BYE, in mode calls */
    int timeout_ms;     /* an operation unanswered for so long has failed */
    int sockets;        /* media sockets a side */
    double packet_rate; /* media packets a second and direction; 0 = silent calls */
    bool direct;        /* media from phone to phone, without a server: what the machine itself costs */
    bool verbose;       /* every SIP message to stderr */
};

struct counters {
    long started, ok, failed;
    long not_started; /* due at the given rate, but every phone was busy */
    long retransmissions;
    long status[700];
    samples registered, ringing, answered, ended; /* times from the request to 200, 180, 200, 200 */
};

extern struct options options;
extern struct counters counters;
extern bool counting;   /* inside the timed part */
extern uint32_t run_id; /* keeps branches, tags and Call-IDs of two runs apart */
extern address server;

/* clock.c */
uint64_t monotonic_ns(void);
uint64_t wall_ns(void);
double cpu_seconds(void);
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void add_sample(samples *to, uint64_t ns);
void print_samples(const char *name, samples *of);
void print_counters(double seconds, double generator_cpu_s);
void mark(const char *what);

/* text.c */
void put(text *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
void put_slice(text *to, slice piece);
slice slice_of(const char *begin, const char *end);
const char *find(slice in, const char *what);
bool next_line(slice *rest, slice *line);
bool header_value(slice line, const char *name, char compact, slice *value);
bool uri_address(slice uri, address *to);
bool sdp_audio_address(slice message, address *to);
void put_sdp(text *to, int port);
void put_body(text *to, const text *body);

/* wire.c */
extern int sip_port[2];
void open_sip_sockets(void);
int open_udp_socket(int buffer_bytes, int *port);
void transmit(enum side from, const text *message, const address *to);
void poll_sip(uint64_t longest_wait_ns);
void poll_sip_for(double seconds);

/* registering.c */
void add_phones(int first_number, int count, enum side side);
void register_all(void);
bool register_next(void);
int registrations_under_way(void);
void on_register_response(int phone, int cseq, int status);
void registration_timers(uint64_t now);

/* callee.c */
extern address *offered_media; /* by call: where the server wants the callee's packets; port 0 = not known */
void on_request(slice message, const address *source);
void callee_timers(uint64_t now);

/* caller.c */
void prepare_calls(int count);
bool call_next(bool hang_up_by_itself);
int calls_under_way(void);
int calls_established(void);
address call_media(int call);
void hang_up_all(void);
void on_response(slice message);
void caller_timers(uint64_t now, bool retransmit);

/* media.c */
extern int *media_port[2]; /* by socket */
void open_media_sockets(void);
int media_port_of(enum side side, int call);
void media_mode(void);

#endif
