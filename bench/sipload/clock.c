/* Time, samples of it, and what is printed for the driver. */
#define _GNU_SOURCE
#include "sipload.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define MOST_SAMPLES (16u << 20)

static uint64_t read_clock(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * NS_PER_S + time.tv_nsec;
}

uint64_t monotonic_ns(void) { return read_clock(CLOCK_MONOTONIC); }

/* The kernel stamps received packets by this clock. */
uint64_t wall_ns(void) { return read_clock(CLOCK_REALTIME); }

double cpu_seconds(void) { return read_clock(CLOCK_PROCESS_CPUTIME_ID) / 1e9; }

void die(const char *format, ...) {
    va_list values;
    va_start(values, format);
    fputs("sipload: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    exit(2);
}

void add_sample(samples *to, uint64_t ns) {
    if (to->count == to->room) {
        if (to->room >= MOST_SAMPLES) return;
        to->room = to->room ? 2 * to->room : 4096;
        to->ns = realloc(to->ns, to->room * sizeof *to->ns);
        if (!to->ns) die("out of memory");
    }
    to->ns[to->count++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

static int ascending(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static double quantile_ms(const samples *sorted, double share) {
    size_t index = (size_t)(share * sorted->count);
    return sorted->ns[index < sorted->count ? index : sorted->count - 1] / (double)NS_PER_MS;
}

/* null when there are none */
void print_samples(const char *name, samples *of) {
    if (!of->count) {
        printf("\"%s\":null,", name);
        return;
    }
    qsort(of->ns, of->count, sizeof *of->ns, ascending);
    printf("\"%s\":{\"count\":%zu,\"p50\":%.4f,\"p99\":%.4f,\"p999\":%.4f,\"max\":%.4f},", name, of->count,
           quantile_ms(of, 0.5), quantile_ms(of, 0.99), quantile_ms(of, 0.999), quantile_ms(of, 1));
}

/* Ends the JSON object that the mode began. */
void print_counters(double seconds, double generator_cpu_s) {
    printf("\"seconds\":%.4f,\"generator_cpu_s\":%.4f,\"started\":%ld,\"ok\":%ld,\"failed\":%ld,\"not_started\":%ld,"
           "\"retransmissions\":%ld,\"failures_by_status\":{",
           seconds, generator_cpu_s, counters.started, counters.ok, counters.failed, counters.not_started,
           counters.retransmissions);
    const char *comma = "";
    for (int status = 0; status < 700; status++)
        if (counters.status[status]) {
            printf("%s\"%d\":%ld", comma, status, counters.status[status]);
            comma = ",";
        }
    puts("}}");
}

/* The timed part begins or ends: waits until the driver has read the server's clocks and writes a line.  When the
 * driver is gone there is nobody left to measure for. */
void mark(const char *what) {
    char line[16];
    puts(what);
    if (!fgets(line, sizeof line, stdin)) exit(1);
}
