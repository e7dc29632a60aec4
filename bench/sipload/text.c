/* SIP and SDP text, as much of it as a phone on the same machine needs. */
#define _GNU_SOURCE
#include "sipload.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void put(text *to, const char *format, ...) {
    va_list values;
    va_start(values, format);
    int length = vsnprintf(to->bytes + to->length, sizeof to->bytes - to->length, format, values);
    va_end(values);
    if (length < 0 || to->length + length >= sizeof to->bytes) die("a message is too long");
    to->length += length;
}

void put_slice(text *to, slice piece) { put(to, "%.*s", (int)piece.length, piece.at); }

slice slice_of(const char *begin, const char *end) { return (slice){begin, (size_t)(end - begin)}; }

const char *find(slice in, const char *what) { return memmem(in.at, in.length, what, strlen(what)); }

/* Takes a line off the rest; false at the empty line that ends the headers. */
bool next_line(slice *rest, slice *line) {
    const char *end = rest->at + rest->length, *feed = memchr(rest->at, '\n', rest->length);
    *line = slice_of(rest->at, feed ? feed : end);
    *rest = slice_of(feed ? feed + 1 : end, end);
    if (line->length && line->at[line->length - 1] == '\r') line->length--;
    return line->length > 0;
}

/* `compact` is the one-letter form of the name (RFC 3261 7.3.3), or NUL. */
bool header_value(slice line, const char *name, char compact, slice *value) {
    const char *at = line.at, *end = line.at + line.length;
    size_t length = strlen(name);
    if (line.length > length && !strncasecmp(at, name, length))
        at += length;
    else if (compact && line.length > 1 && tolower(at[0]) == compact)
        at++;
    else
        return false;
    while (at < end && (*at == ' ' || *at == '\t')) at++;
    if (at == end || *at != ':') return false;
    at++;
    while (at < end && (*at == ' ' || *at == '\t')) at++;
    *value = slice_of(at, end);
    return true;
}

/* False unless the host is a literal of 127.0.0.0/8: nothing is ever sent elsewhere. */
static bool loopback_address(const char *host, size_t length, int port, address *to) {
    char copy[INET_ADDRSTRLEN] = "";
    if (length >= sizeof copy) return false;
    memcpy(copy, host, length);
    to->sin_family = AF_INET;
    to->sin_port = htons(port);
    return inet_pton(AF_INET, copy, &to->sin_addr) == 1 && ntohl(to->sin_addr.s_addr) >> 24 == 127;
}

/* Host and port of the first SIP URI in the text. */
bool uri_address(slice uri, address *to) {
    const char *end = uri.at + uri.length, *host = find(uri, "sip:");
    if (!host) return false;
    host += 4;
    const char *stop = host;
    while (stop < end && !strchr(">;?, \r\n", *stop)) stop++;
    const char *user_end = memchr(host, '@', stop - host);
    if (user_end) host = user_end + 1;
    const char *colon = memchr(host, ':', stop - host);
    return loopback_address(host, (colon ? colon : stop) - host, colon ? atoi(colon + 1) : 5060, to);
}

/* Where the message's SDP wants the audio sent. */
bool sdp_audio_address(slice message, address *to) {
    const char *end = message.at + message.length, *body = find(message, "\r\n\r\n");
    if (!body) return false;
    const char *media = find(slice_of(body, end), "\nm=audio ");
    const char *connection = find(slice_of(body, end), "\nc=IN IP4 ");
    if (!media || !connection) return false;
    const char *host = connection + strlen("\nc=IN IP4 "), *stop = host;
    while (stop < end && !strchr("\r\n /", *stop)) stop++;
    return loopback_address(host, stop - host, atoi(media + strlen("\nm=audio ")), to);
}

void put_sdp(text *to, int port) {
    put(to,
        "v=0\r\no=- 3344 3344 IN IP4 127.0.0.1\r\ns=call\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        "m=audio %d RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
        "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n",
        port);
}

/* Ends the headers; the body may be empty. */
void put_body(text *to, const text *body) {
    if (body->length) put(to, "Content-Type: application/sdp\r\n");
    put(to, "Content-Length: %zu\r\n\r\n", body->length);
    put_slice(to, slice_of(body->bytes, body->bytes + body->length));
}
