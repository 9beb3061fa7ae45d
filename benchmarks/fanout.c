/* RTP load for a forwarding server: sources that send bursts of SRTP packets, sinks that receive and check them.

   Built and called by sfu_load.py. A burst is one VP8 frame: equal packets, the last with the marker, a
   keyframe once in `keyframe_every`. Sinks are polled, between naps of at most NAP: waking a waiting one would be charged
   to the server, and a thread of real-time priority that never slept would be stopped for 50 ms in each second. The
   payload carries a count and the time sent, then a pattern. Each sink authenticates and checks every `check_every`-th
   packet; the rest are counted by their clear headers. A packet is late by the kernel's time stamp at the sink's
   socket. Sinks with UDP_GRO get runs, which are split here. Sinks answer with transport-wide feedback as browsers do,
   where the packets that come have numbers (draft-holmer-rmcat-transport-wide-cc-extensions-01). */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define MAX_BURST 32
#define BATCH 32
#define ROOM 2048
#define RUN 65536
#define BUCKETS 2000000 /* microseconds */
#define NAP 200000      /* nanoseconds */
#define UDP_GRO 104
#define QUIET 300000000u
#define PATIENCE 3000000000u
#define FEEDBACK 100000000u /* nanoseconds between a sink's feedback packets */
#define NUMBERS 4096
#define MAX_REPORTED 700    /* packets in one feedback: it stays below 1500 bytes */
#define TICK 250000         /* nanoseconds of a delta */
#define REFERENCE 256       /* ticks of the reference time */

typedef int (*srtp_function)(void *session, void *packet, int *length);

struct source {
    int fd;
    int audio;
    void *session;
    uint32_t ssrc, timestamp;
    uint16_t sequence, transport_sequence, picture;
    uint8_t payload_type, mid_id, transport_id, mid;
    uint64_t sent, frames;
};

struct sink {
    int fd;
    int seen;
    void *session;
    void *feedback_session; /* NULL: sends none */
    uint64_t received, checked, bad;
    uint64_t next_feedback;
    int32_t transport_id; /* extension of the number */
    int32_t started;
    uint16_t base, highest; /* the next number to report, the newest seen */
    uint8_t reports;
    uint32_t arrivals[NUMBERS]; /* ticks + 1, 0 none */
};

struct outcome {
    uint64_t sent, received, checked, bad;
    double seconds;
    uint32_t histogram[BUCKETS];
};

static uint64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now) /* that of SO_TIMESTAMPNS */;
    return (uint64_t)now.tv_sec * 1000000000u + now.tv_nsec;
}

static void put16(uint8_t *to, uint32_t value) { to[0] = value >> 8, to[1] = value; }
static void put32(uint8_t *to, uint32_t value) { put16(to, value >> 16), put16(to + 2, value); }

/* Header with MID and transport-wide number, then descriptor and body; `size` counts from the RTP header, before SRTP. */
static int build(struct source *source, uint8_t *packet, int size, int first, int last, int keyframe, uint64_t now) {
    memset(packet, 0, 24);
    packet[0] = 0x90;
    packet[1] = source->payload_type | (last && !source->audio ? 0x80 : 0);
    put16(packet + 2, source->sequence++);
    put32(packet + 4, source->timestamp);
    put32(packet + 8, source->ssrc);
    put16(packet + 12, 0xBEDE);
    put16(packet + 14, 2);
    packet[16] = source->mid_id << 4, packet[17] = source->mid;
    packet[18] = source->transport_id << 4 | 1;
    put16(packet + 19, source->transport_sequence++);
    uint8_t *at = packet + 24;
    if (!source->audio) {
        at[0] = 0x80 | (first ? 0x10 : 0), at[1] = 0x80;
        put16(at + 2, 0x8000 | (source->picture & 0x7FFF));
        at += 4;
        if (first) {
            static const uint8_t key[10] = {0x10, 0x00, 0x00, 0x9D, 0x01, 0x2A, 0x80, 0x02, 0x68, 0x01};
            memset(at, 0x11, 10);
            if (keyframe) memcpy(at, key, 10);
            at += 10;
        }
    }
    uint64_t words[2] = {source->sent, now};
    memcpy(at, words, 16);
    memset(at + 16, (uint8_t)source->sent, packet + size - at - 16);
    source->sent++;
    return size;
}

static int send_frame(srtp_function protect, struct source *source, int size, int burst, int keyframe_every) {
    static uint8_t packets[MAX_BURST][ROOM];
    struct mmsghdr messages[MAX_BURST];
    struct iovec vectors[MAX_BURST];
    uint64_t now = nanoseconds();
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < burst; i++) {
        int length = build(source, packets[i], size, i == 0, i == burst - 1, source->frames % keyframe_every == 0, now);
        if (protect(source->session, packets[i], &length)) return -1;
        vectors[i] = (struct iovec){packets[i], (size_t)length};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    source->frames++, source->picture++, source->timestamp += source->audio ? 960 : 3600;
    return sendmmsg(source->fd, messages, burst, 0) == burst ? 0 : -1;
}

/* 1 right, 0 wrong. The header's length may have changed on the way: MID and other extensions are the receiver's own. */
static int check(srtp_function unprotect, struct sink *sink, uint8_t *packet, int length, int audio_size, uint64_t now, struct outcome *outcome) {
    if (unprotect(sink->session, packet, &length)) return 0;
    int at = 12 + 4 * (packet[0] & 0x0F), end = length;
    if (packet[0] & 0x10) at += 4 + 4 * (packet[at + 2] << 8 | packet[at + 3]);
    if (packet[0] & 0x20) end -= packet[length - 1];
    if (end - at > audio_size) at += packet[at] & 0x10 ? 14 : 4;
    if (at + 17 > end) return 0;
    uint64_t words[2];
    memcpy(words, packet + at, 16);
    uint8_t pattern = (uint8_t)words[0];
    uint64_t microseconds = (now - words[1]) / 1000;
    outcome->histogram[microseconds < BUCKETS - 1 ? microseconds : BUCKETS - 1]++;
    return packet[at + 16] == pattern && packet[(at + 16 + end) / 2] == pattern && packet[end - 1] == pattern;
}

static void note_number(struct sink *sink, const uint8_t *packet, int length, uint64_t at) {
    int from = 16 + 4 * (packet[0] & 0x0F);
    if (!sink->transport_id || !(packet[0] & 0x10) || length < from) return;
    int wide = packet[from - 4] == 0x10, end = from + 4 * (packet[from - 2] << 8 | packet[from - 1]);
    if (end > length) return;
    while (from < end) {
        if (!packet[from]) {
            from++;
            continue;
        }
        int id = wide ? packet[from] : packet[from] >> 4, size = wide ? packet[from + 1] : (packet[from] & 15) + 1;
        from += wide ? 2 : 1;
        if (id == sink->transport_id && size == 2 && from + 2 <= end) {
            uint16_t number = (uint16_t)(packet[from] << 8 | packet[from + 1]);
            if (!sink->started) sink->base = sink->highest = number, sink->started = 1;
            if ((int16_t)(number - sink->base) < 0) return;
            if ((int16_t)(number - sink->highest) > 0) sink->highest = number;
            sink->arrivals[number % NUMBERS] = (uint32_t)(at / TICK) + 1;
            return;
        }
        from += size;
    }
}

static int put_chunk(uint8_t *at, int symbol, int run) {
    put16(at, (uint32_t)(symbol << 13 | run));
    return 2;
}

/* One feedback packet on what came since the last; runs of equal symbols, deltas of one or two bytes. */
static void send_feedback(srtp_function protect_rtcp, struct sink *sink, uint64_t now) {
    uint8_t packet[ROOM], deltas[2 * MAX_REPORTED];
    int count = (uint16_t)(sink->highest - sink->base + 1), at = 20, delta_bytes = 0, symbol = -1, run = 0;
    if (!sink->feedback_session || !sink->started || now < sink->next_feedback || (int16_t)(sink->highest - sink->base) < 0) return;
    if (count > MAX_REPORTED) count = MAX_REPORTED;
    uint32_t last = 0, reference = 0;
    for (int i = 0; i < count && !reference; i++) reference = sink->arrivals[(uint16_t)(sink->base + i) % NUMBERS];
    reference = (reference - 1) / REFERENCE;
    last = reference * REFERENCE;
    for (int i = 0; i < count; i++) {
        uint32_t *arrival = &sink->arrivals[(uint16_t)(sink->base + i) % NUMBERS];
        int32_t delta = (int32_t)(*arrival - 1 - last);
        int found = !*arrival ? 0 : delta >= 0 && delta < 256 ? 1 : 2;
        if (found == 1) deltas[delta_bytes++] = (uint8_t)delta;
        if (found == 2) put16(deltas + delta_bytes, (uint32_t)delta), delta_bytes += 2;
        if (found) last = *arrival - 1;
        *arrival = 0;
        if (run && found != symbol) at += put_chunk(packet + at, symbol, run), run = 0;
        symbol = found, run++;
    }
    at += put_chunk(packet + at, symbol, run);
    memcpy(packet + at, deltas, delta_bytes);
    for (at += delta_bytes; at % 4;) packet[at++] = 0;
    packet[0] = 0x8F, packet[1] = 205;
    put16(packet + 2, (uint32_t)(at / 4 - 1));
    put32(packet + 4, 1), put32(packet + 8, 1);
    put16(packet + 12, sink->base), put16(packet + 14, (uint32_t)count);
    put32(packet + 16, reference << 8 | sink->reports++);
    sink->base = (uint16_t)(sink->base + count);
    sink->next_feedback = now + FEEDBACK;
    if (protect_rtcp(sink->feedback_session, packet, &at) == 0) send(sink->fd, packet, at, MSG_DONTWAIT);
}

/* Counts one packet that arrived at `at`, and checks it when it is its turn. */
static void take(srtp_function unprotect, struct sink *sink, uint8_t *packet, int length, int audio_size, int check_every, uint64_t at, struct outcome *outcome) {
    static uint8_t copy[ROOM]; /* in a run the next packet begins where this one ends */
    if (length < 12 || length > ROOM || packet[0] >> 6 != 2 || (packet[1] >= 192 && packet[1] <= 223)) return;
    sink->received++;
    note_number(sink, packet, length, at);
    if (!sink->session || ++sink->seen % check_every) return;
    sink->checked++;
    memcpy(copy, packet, length);
    if (!check(unprotect, sink, copy, length, audio_size, at, outcome)) sink->bad++;
}

/* How many datagrams, or runs of them, there were. */
static int receive(srtp_function unprotect, struct sink *sink, int audio_size, int check_every, struct outcome *outcome) {
    static uint8_t packets[BATCH][RUN];
    static uint64_t controls[BATCH][16];
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){packets[i], RUN};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1, .msg_control = controls[i], .msg_controllen = sizeof controls[i]};
    }
    int count = recvmmsg(sink->fd, messages, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
        int length = messages[i].msg_len, segment = length;
        uint64_t at = 0;
        for (struct cmsghdr *control = CMSG_FIRSTHDR(&messages[i].msg_hdr); control; control = CMSG_NXTHDR(&messages[i].msg_hdr, control)) {
            struct timespec stamp;
            if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SO_TIMESTAMPNS) {
                memcpy(&stamp, CMSG_DATA(control), sizeof stamp);
                at = (uint64_t)stamp.tv_sec * 1000000000u + stamp.tv_nsec;
            } else if (control->cmsg_type == UDP_GRO) {
                memcpy(&segment, CMSG_DATA(control), sizeof segment);
            }
        }
        for (int from = 0; from < length; from += segment)
            take(unprotect, sink, packets[i] + from, length - from < segment ? length - from : segment, audio_size, check_every, at, outcome);
    }
    return count > 0 ? count : 0;
}

/* When the next frame of a source is due, in seconds since the start: the sources' phases are evenly staggered. */
static double due(const struct source *source, uint64_t first, int index, int count, double rate) {
    return (source->frames - first + 1 - (double)index / count) / rate;
}

/* Sleeps until a source has something to send, or for NAP. */
static void nap(uint64_t start, const struct source *sources, int count, const uint64_t *first, double frames_per_second, double audio_per_second) {
    uint64_t now = nanoseconds(), until = now + NAP;
    for (int i = 0; i < count; i++) {
        uint64_t at = start + (uint64_t)(1e9 * due(&sources[i], first[i], i, count, sources[i].audio ? audio_per_second : frames_per_second));
        if (at < until) until = at;
    }
    struct timespec to = {(time_t)(until / 1000000000u), (long)(until % 1000000000u)};
    if (until > now) clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &to, NULL);
}

/* Each source sends `frames_per_second` frames of `burst` packets (audio sources one packet), evenly staggered. */
int fanout(srtp_function protect, srtp_function unprotect, srtp_function protect_rtcp, struct source *sources, int source_count, struct sink *sinks,
           int sink_count, int size, int burst, int audio_size, double frames_per_second, double audio_per_second,
           int keyframe_every, int check_every, double seconds, struct outcome *outcome) {
    if (size > 1400 || size < 64 || burst < 1 || burst > MAX_BURST) return -EINVAL;
    uint64_t start = nanoseconds(), end = start + (uint64_t)(seconds * 1e9);
    uint64_t first_frames[source_count];
    for (int i = 0; i < source_count; i++) first_frames[i] = sources[i].frames;
    uint64_t heard = end; /* what a full server still holds back is waited for, so that it does not come in the next run */
    for (uint64_t now = start; now < heard + QUIET && now < end + PATIENCE; now = nanoseconds()) {
        if (now < end)
            for (int i = 0; i < source_count; i++) {
                double rate = sources[i].audio ? audio_per_second : frames_per_second;
                if (start + (uint64_t)(1e9 * due(&sources[i], first_frames[i], i, source_count, rate)) <= now &&
                    send_frame(protect, &sources[i], sources[i].audio ? audio_size : size, sources[i].audio ? 1 : burst, keyframe_every))
                    return -EIO;
            }
        int busy = 0;
        for (int i = 0; i < sink_count; i++) {
            busy += receive(unprotect, &sinks[i], audio_size, check_every, outcome);
            send_feedback(protect_rtcp, &sinks[i], now);
        }
        if (busy && now > end) heard = now;
        if (!busy) nap(start, sources, source_count, first_frames, frames_per_second, audio_per_second);
    }
    outcome->seconds = seconds;
    for (int i = 0; i < source_count; i++) outcome->sent += sources[i].sent;
    for (int i = 0; i < sink_count; i++) {
        outcome->received += sinks[i].received;
        outcome->checked += sinks[i].checked;
        outcome->bad += sinks[i].bad;
    }
    return 0;
}
