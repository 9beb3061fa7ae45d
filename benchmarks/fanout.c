/* RTP load for a forwarding server: sources that send bursts of SRTP packets, sinks that receive and check them.

   Built and called by sfu_fanout.py. A burst is one VP8 frame: equal packets, the last with the marker, a
   keyframe once in `keyframe_every`. Sinks are polled: waking a waiting one would be charged to the server. The payload
   carries a count and the time sent, then a pattern. Each sink
   authenticates and checks every `check_every`-th packet; the rest are counted by their clear headers. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define MAX_BURST 32
#define BATCH 64
#define ROOM 2048
#define BUCKETS 100000

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
    uint64_t received, checked, bad;
};

struct outcome {
    uint64_t sent, received, checked, bad;
    double seconds;
    uint32_t histogram[BUCKETS];
};

static uint64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
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

static void receive(srtp_function unprotect, struct sink *sink, int audio_size, int check_every, struct outcome *outcome) {
    static uint8_t packets[BATCH][ROOM];
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){packets[i], ROOM};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(sink->fd, messages, BATCH, MSG_DONTWAIT, NULL);
    uint64_t now = nanoseconds();
    for (int i = 0; i < count; i++) {
        int length = messages[i].msg_len;
        if (length < 12 || packets[i][0] >> 6 != 2 || (packets[i][1] >= 192 && packets[i][1] <= 223)) continue;
        sink->received++;
        if (!sink->session || ++sink->seen % check_every) continue;
        sink->checked++;
        if (!check(unprotect, sink, packets[i], length, audio_size, now, outcome)) sink->bad++;
    }
}

/* Each source sends `frames_per_second` frames of `burst` packets (audio sources one packet), evenly staggered. */
int fanout(srtp_function protect, srtp_function unprotect, struct source *sources, int source_count, struct sink *sinks,
           int sink_count, int size, int burst, int audio_size, double frames_per_second, double audio_per_second,
           int keyframe_every, int check_every, double seconds, struct outcome *outcome) {
    if (size > 1400 || size < 64 || burst < 1 || burst > MAX_BURST) return -EINVAL;
    uint64_t start = nanoseconds(), end = start + (uint64_t)(seconds * 1e9);
    uint64_t first_frames[source_count];
    for (int i = 0; i < source_count; i++) first_frames[i] = sources[i].frames;
    for (uint64_t now = start; now < end + 300000000u; now = nanoseconds()) {
        if (now < end)
            for (int i = 0; i < source_count; i++) {
                double rate = sources[i].audio ? audio_per_second : frames_per_second;
                double due = (now - start) / 1e9 * rate + (double)i / source_count;
                if (first_frames[i] + (uint64_t)due > sources[i].frames &&
                    send_frame(protect, &sources[i], sources[i].audio ? audio_size : size, sources[i].audio ? 1 : burst, keyframe_every))
                    return -EIO;
            }
        for (int i = 0; i < sink_count; i++) receive(unprotect, &sinks[i], audio_size, check_every, outcome);
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
