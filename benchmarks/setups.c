/* TURN clients that ask, many at once: Allocate (401), Allocate again, ChannelBind; later Refresh 0.

   Built by setups.py into a shared object, one thread, `window` clients at work at a time. Each success answer's
   MESSAGE-INTEGRITY is verified. Long-term credentials with MD5 keys (made in Python) and HMAC-SHA1, which every server has. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_MESSAGE 600
#define MAX_VALUE 128
#define RESEND 500000000u       /* ns */
#define MAX_RESENDS 8
#define COOKIE 0x2112A442u
#define CHANNEL 0x4000

enum { ALLOCATE = 0x0003, REFRESH = 0x0004, CHANNEL_BIND = 0x0009 };
enum { INTEGRITY = 0x0008, USERNAME = 0x0006, ERROR_CODE = 0x0009, CHANNEL_NUMBER = 0x000C, LIFETIME = 0x000D,
       PEER = 0x0012, REALM = 0x0014, NONCE = 0x0015, RELAYED = 0x0016, TRANSPORT = 0x0019 };

struct client {
    int32_t fd;
    struct sockaddr_in server, peer;
    uint8_t user[64], realm[64], key[16];
    int32_t user_bytes, realm_bytes;
    uint8_t nonce[MAX_VALUE];
    int32_t nonce_bytes;
    uint16_t relayed_port;      /* host order; 0: none */
    uint16_t method;            /* of the request under way, 0: none */
    uint8_t request[MAX_MESSAGE];
    int32_t request_bytes, resends;
    uint64_t sent_at;
};

struct outcome {
    uint64_t answers, resends;
    double seconds, busy_seconds;   /* in all, and those in which a client had something to do */
    int32_t code;               /* of the answer that ended it, 0: all is well, -1: no answer, -2: an answer that is wrong */
};

static uint64_t nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* SHA-1 (RFC 3174) and HMAC (RFC 2104). */

static uint32_t left(uint32_t value, int bits) { return value << bits | value >> (32 - bits); }

static void sha1_block(uint32_t state[5], const uint8_t *block) {
    static const uint32_t constants[4] = {0x5A827999u, 0x6ED9EBA1u, 0x8F1BBCDCu, 0xCA62C1D6u};
    uint32_t words[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 16; i++) memcpy(&words[i], block + 4 * i, 4), words[i] = ntohl(words[i]);
    for (int i = 16; i < 80; i++) words[i] = left(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t mixed = i < 20 ? (b & c) | (~b & d) : i >= 40 && i < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
        uint32_t next = left(a, 5) + mixed + e + constants[i / 20] + words[i];
        e = d, d = c, c = left(b, 30), b = a, a = next;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

/* SHA-1 of a block and what follows it. */
static void sha1(const uint8_t block[64], const uint8_t *data, int length, uint8_t out[20]) {
    uint32_t state[5] = {0x67452301u, 0xEFCDAB89u, 0x98BADCFEu, 0x10325476u, 0xC3D2E1F0u}, bits = htonl((uint32_t)(64 + length) * 8);
    uint8_t tail[128] = {0};
    int whole = length / 64 * 64, rest = length - whole, end = rest < 56 ? 64 : 128;
    sha1_block(state, block);
    for (int at = 0; at < whole; at += 64) sha1_block(state, data + at);
    memcpy(tail, data + whole, (size_t)rest);
    tail[rest] = 0x80;
    memcpy(tail + end - 4, &bits, 4);
    for (int at = 0; at < end; at += 64) sha1_block(state, tail + at);
    for (int i = 0; i < 5; i++) state[i] = htonl(state[i]);
    memcpy(out, state, 20);
}

static void hmac(const uint8_t key[16], const uint8_t *data, int length, uint8_t out[20]) {
    uint8_t inner[64], outer[64], digest[20];
    memset(inner, 0x36, 64), memset(outer, 0x5C, 64);
    for (int i = 0; i < 16; i++) inner[i] ^= key[i], outer[i] ^= key[i];
    sha1(inner, data, length, digest);
    sha1(outer, digest, 20, out);
}

/* Messages (RFC 8489 §5, §14). */

static void write16(uint8_t *at, uint32_t value) { at[0] = (uint8_t)(value >> 8), at[1] = (uint8_t)value; }
static uint32_t read16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }

static void add(struct client *client, int type, const void *value, int length) {
    uint8_t *at = client->request + client->request_bytes;
    int padded = (length + 3) & ~3;
    memset(at, 0, (size_t)padded + 4);
    write16(at, (uint32_t)type), write16(at + 2, (uint32_t)length);
    memcpy(at + 4, value, (size_t)length);
    client->request_bytes += 4 + padded;
    write16(client->request + 2, (uint32_t)client->request_bytes - 20);
}

static void add_peer(struct client *client) {
    uint32_t address = client->peer.sin_addr.s_addr ^ htonl(COOKIE);
    uint8_t value[8] = {0, 1};
    write16(value + 2, ntohs(client->peer.sin_port) ^ COOKIE >> 16);
    memcpy(value + 4, &address, 4);
    add(client, PEER, value, 8);
}

static void transmit(struct client *client) {
    client->sent_at = nanoseconds(CLOCK_MONOTONIC);
    sendto(client->fd, client->request, (size_t)client->request_bytes, MSG_DONTWAIT, (struct sockaddr *)&client->server, sizeof client->server);
}

static void ask(struct client *client, int method) {
    static const uint8_t udp[4] = {IPPROTO_UDP}, none[4] = {0}, channel[4] = {CHANNEL >> 8};
    uint32_t cookie = htonl(COOKIE);
    uint8_t digest[20];
    client->method = (uint16_t)method;
    client->request_bytes = 20, client->resends = 0;
    write16(client->request, (uint32_t)method), write16(client->request + 2, 0);
    memcpy(client->request + 4, &cookie, 4);
    if (getrandom(client->request + 8, 12, 0) != 12) return;
    if (method == ALLOCATE) add(client, TRANSPORT, udp, 4);
    if (method == REFRESH) add(client, LIFETIME, none, 4);
    if (method == CHANNEL_BIND) add(client, CHANNEL_NUMBER, channel, 4), add_peer(client);
    if (client->nonce_bytes) {
        add(client, USERNAME, client->user, client->user_bytes);
        add(client, REALM, client->realm, client->realm_bytes);
        add(client, NONCE, client->nonce, client->nonce_bytes);
        write16(client->request + 2, (uint32_t)client->request_bytes + 24 - 20); /* §14.5: the length is that with it */
        hmac(client->key, client->request, client->request_bytes, digest);
        add(client, INTEGRITY, digest, 20);
    }
    transmit(client);
}

/* Takes what the client needs of an answer; returns the error code, 0 for a success, -2 for one that is wrong. */
static int read_answer(struct client *client, uint8_t *data, int length) {
    int code = 0, genuine = 0;
    for (int at = 20; at + 4 <= length;) {
        int type = (int)read16(data + at), size = (int)read16(data + at + 2);
        uint8_t *value = data + at + 4, digest[20];
        if (at + 4 + size > length) return -2;
        if (type == ERROR_CODE && size >= 4) code = value[2] * 100 + value[3];
        if (type == NONCE && size <= MAX_VALUE) memcpy(client->nonce, value, (size_t)size), client->nonce_bytes = size;
        if (type == RELAYED && size == 8) client->relayed_port = (uint16_t)(read16(value + 2) ^ COOKIE >> 16);
        if (type == INTEGRITY && size == 20) {
            write16(data + 2, (uint32_t)at + 24 - 20);
            hmac(client->key, data, at, digest);
            genuine = !memcmp(digest, value, 20);
        }
        at += 4 + ((size + 3) & ~3);
    }
    return code || genuine ? code : -2;
}

/* One datagram; 1: the client has all it wanted, 0: it goes on, negative: -code of what ended it or -2. */
static int advance(struct client *client, struct outcome *outcome) {
    uint8_t data[2048];
    int length = (int)recv(client->fd, data, sizeof data, MSG_DONTWAIT);
    if (length < 20 || !client->method || memcmp(data + 8, client->request + 8, 12)) return 0;
    int fresh = !client->nonce_bytes, code = read_answer(client, data, length), method = client->method;
    outcome->answers++;
    if (code < 0) return code;
    if (code == 438 || (code == 401 && fresh)) {
        ask(client, method);
        return 0;
    }
    if (code) return -code;
    if (method == ALLOCATE) {
        ask(client, CHANNEL_BIND);
        return 0;
    }
    if (method == REFRESH) client->relayed_port = 0;
    client->method = 0;
    return 1;
}

/* Resends what was not answered; 0 when one has waited too long. */
static int resend(struct client *clients, int started, struct outcome *outcome) {
    uint64_t now = nanoseconds(CLOCK_MONOTONIC);
    for (int i = 0; i < started; i++) {
        if (!clients[i].method || now - clients[i].sent_at < RESEND) continue;
        if (++clients[i].resends > MAX_RESENDS) return 0;
        outcome->resends++;
        transmit(&clients[i]);
    }
    return 1;
}

/* Never sleeps, see wait_ready in load.c. */
static void work(struct client *clients, int count, int window, int method, int poller, struct outcome *outcome) {
    struct epoll_event events[64];
    int started = 0, done = 0;
    uint64_t start = nanoseconds(CLOCK_MONOTONIC), now = start, began = start, heard_at = start, idle = 0;
    while (done < count && !outcome->code) {
        int asked = started;
        for (; started < count && started - done < window; started++) ask(&clients[started], method);
        int ready = epoll_wait(poller, events, 64, 0);
        now = nanoseconds(CLOCK_MONOTONIC);
        if (!ready && asked == started) idle += now - began;
        began = now;
        for (int i = 0; i < ready && !outcome->code; i++) {
            int got = advance(&clients[events[i].data.u32], outcome);
            if (got > 0) done++;
            if (got < 0) outcome->code = got == -2 ? -2 : -got;
        }
        if (ready || now - heard_at > RESEND) {
            heard_at = now;
            if (!ready && !resend(clients, started, outcome)) outcome->code = -1;
        }
    }
    outcome->seconds = (double)(now - start) / 1e9;
    outcome->busy_seconds = (double)(now - start - idle) / 1e9;
}

/* Each client allocates and binds one channel (method ALLOCATE), or gives its allocation back (REFRESH). */
int drive(struct client *clients, int count, int window, int method, struct outcome *outcome) {
    int poller = epoll_create1(0);
    memset(outcome, 0, sizeof *outcome);
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, clients[i].fd, &event)) return -errno;
    }
    work(clients, count, window, method, poller, outcome);
    close(poller);
    return 0;
}
