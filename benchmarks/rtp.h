/* What both directions of engine.c share: bytes, clocks, chance, the connection, and the body that each packet carries.

   Times are nanoseconds of CLOCK_REALTIME, as the kernel stamps datagrams. */
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROOM 2048
#define BATCH 64
#define MILLISECOND 1000000ull
#define SECOND 1000000000ull
#define HEADERS_BYTES 28 /* IPv4 and UDP */
#define MAX_CHECK_BYTES 256
#define BUCKETS 100000 /* of 10 us */
#define BINS 72000     /* of 100 ms */

/* Header extensions of publishers, and the number of transport-cc towards subscribers (the server's own). */
enum { AUDIO_LEVEL = 1, TRANSPORT = 3, MID = 4, RID = 10, REPAIRED_RID = 11 };
enum { VP8 = 96, RTX = 97, OPUS = 111 };
enum { SR = 200, RR = 201, SDES = 202, RTPFB = 205, PSFB = 206 };

typedef int (*srtp_function)(void *session, void *packet, int *length);

struct srtp {
    srtp_function protect, unprotect, protect_rtcp, unprotect_rtcp;
};

/* One peer connection. What arrives and leaves is counted with IP and UDP headers. */
struct connection {
    int fd;
    void *outbound, *inbound;
    uint8_t check[MAX_CHECK_BYTES]; /* a connectivity check, sent again each few seconds: consent (RFC 7675) */
    int check_bytes;
    uint64_t check_at;
    uint64_t bytes_in, packets_in, bytes_out, packets_out, bad;
    struct publisher *publisher;
    struct subscriber *subscriber;
};

/* Audio has it behind its first byte, up to `at`; then comes the pattern, counter's low byte. There `temporal` is 1 for speech, `layer` the
   packet's place in the utterance, 255 at most. Video ends with it: descriptor, `lead` bytes for a decoder, pattern, body. */
struct body {
    uint16_t source;
    uint8_t layer, temporal;
    uint32_t counter; /* of this layer's packets */
    uint64_t at;      /* when it was sent */
    uint16_t picture, references[2]; /* frames by the publisher's own count; a frame with itself as reference needs none */
    uint8_t index, count;            /* packets of the frame */
    uint8_t keyframe, reserved;
    uint16_t lead;
    uint8_t unused[4];
};
#define AUDIO_BODY_BYTES 16
#define OPUS_CELT_20_MS 0xF8 /* the first byte of Opus (RFC 6716 §3.1): whatever follows can be decoded */
#define DESCRIPTOR_BYTES 6

struct engine {
    struct srtp srtp;
    pthread_mutex_t lock;
    int poller, count, room, stop, mixed; /* mixed: publishers of others are in the room */
    uint64_t turns;
    struct connection **connections;
    uint64_t began_at, busy_ns, late_ns;
    uint32_t latency[2][BUCKETS]; /* audio, video: from sending to the kernel's time of arrival, repeats left out */
    uint32_t bins[BINS];          /* bytes that arrived in each 100 ms since the beginning */
};

static uint64_t nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static void put16(uint8_t *to, uint32_t value) { to[0] = (uint8_t)(value >> 8), to[1] = (uint8_t)value; }
static void put32(uint8_t *to, uint32_t value) { put16(to, value >> 16), put16(to + 2, value); }
static uint32_t get16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }
static uint32_t get32(const uint8_t *at) { return get16(at) << 16 | get16(at + 2); }

/* Uniform in [0, 1); the same run each time. */
static double chance(void) {
    static uint64_t state = 88172645463325252ull;
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (double)(state >> 11) / 9007199254740992.0;
}

/* Bytes of the RTP header with its extensions, 0 when it does not fit. */
static int header_bytes(const uint8_t *packet, int length) {
    int at = 12 + 4 * (packet[0] & 0x0F);
    if (packet[0] & 0x10) at += at + 4 <= length ? 4 + 4 * (int)get16(packet + at + 2) : length;
    return at <= length ? at : 0;
}

static void send_plain(struct connection *connection, const uint8_t *data, int length) {
    if (send(connection->fd, data, (size_t)length, MSG_DONTWAIT) < 0) return;
    connection->bytes_out += (uint64_t)length + HEADERS_BYTES, connection->packets_out++;
}

static void send_rtcp(struct engine *engine, struct connection *connection, uint8_t *data, int length) {
    if (!engine->srtp.protect_rtcp(connection->outbound, data, &length)) send_plain(connection, data, length);
}

static void send_rtp(struct engine *engine, struct connection *connection, const uint8_t *plain, int length) {
    uint8_t packet[ROOM];
    memcpy(packet, plain, (size_t)length);
    if (!engine->srtp.protect(connection->outbound, packet, &length)) send_plain(connection, packet, length);
}

static uint8_t *put_ntp(uint8_t *to, uint64_t now) {
    put32(to, (uint32_t)(now / SECOND + 2208988800u));
    put32(to + 4, (uint32_t)(((now % SECOND) << 32) / SECOND));
    return to + 8;
}
