/* The load generator: plays senders and receivers of datagrams in one thread and checks each payload.

   Built by load.py into a shared object. Closed loop: at most `window` datagrams are in flight in all; a flow's turn sends
   `burst` at once. A payload carries (run and flow, number, time sent) and a pattern that follows from them, so that a
   lost, altered or misdelivered datagram is seen; stragglers of an earlier run are passed over. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_BATCH 64
#define MAX_SIZE 1500

struct flow {
    int send_fd, receive_fd;
    struct sockaddr_in to;
    uint8_t head[4];        /* ChannelData header in front of what is sent, head_bytes of it */
    int32_t head_bytes;
    int32_t skip_bytes;     /* ChannelData header in front of what is received */
    uint64_t sent, received, bad;
};

struct result {
    uint64_t sent, received, bad;
    double seconds;
    uint64_t latencies;     /* how many of the buckets below were filled */
    uint32_t histogram[100000]; /* one-way latency in microseconds, the last bucket and above */
};

static uint64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + now.tv_nsec;
}

static void fill(uint8_t *payload, int size, uint64_t flow, uint64_t number, uint64_t at) {
    uint64_t words[3] = {flow, number, at};
    memcpy(payload, words, 24);
    memset(payload + 24, (uint8_t)(flow * 31 + number), size - 24);
}

enum verdict { RIGHT, WRONG, STRAGGLER };

static enum verdict check(const uint8_t *payload, int size, int expected, uint64_t flow) {
    uint64_t words[3];
    if (size < 24) return WRONG;
    memcpy(words, payload, 24);
    if (words[0] >> 16 != flow >> 16) return STRAGGLER;
    if (size != expected || words[0] != flow) return WRONG;
    uint8_t pattern = (uint8_t)(flow * 31 + words[1]);
    int same = payload[24] == pattern && payload[size / 2] == pattern && payload[size - 1] == pattern;
    return same ? RIGHT : WRONG;
}

static int send_burst(struct flow *flow, uint64_t index, int size, int burst) {
    static uint8_t buffers[MAX_BATCH][MAX_SIZE];
    struct mmsghdr messages[MAX_BATCH];
    struct iovec vectors[MAX_BATCH];
    uint64_t now = nanoseconds();
    memset(messages, 0, sizeof(struct mmsghdr) * burst);
    for (int i = 0; i < burst; i++) {
        memcpy(buffers[i], flow->head, flow->head_bytes);
        fill(buffers[i] + flow->head_bytes, size, index, flow->sent + i, now);
        vectors[i] = (struct iovec){buffers[i], (size_t)(size + flow->head_bytes)};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &flow->to, .msg_namelen = sizeof flow->to,
                                              .msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    int done = sendmmsg(flow->send_fd, messages, burst, MSG_DONTWAIT);
    if (done > 0) flow->sent += done;
    return done > 0 ? done : 0;
}

static int receive(struct flow *flow, uint64_t index, int size, struct result *result) {
    static uint8_t buffers[MAX_BATCH][MAX_SIZE + 16];
    struct mmsghdr messages[MAX_BATCH];
    struct iovec vectors[MAX_BATCH];
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < MAX_BATCH; i++) {
        vectors[i] = (struct iovec){buffers[i], sizeof buffers[i]};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(flow->receive_fd, messages, MAX_BATCH, MSG_DONTWAIT, NULL), arrived = 0;
    uint64_t now = nanoseconds();
    for (int i = 0; i < count; i++) {
        const uint8_t *payload = buffers[i] + flow->skip_bytes;
        enum verdict verdict = check(payload, (int)messages[i].msg_len - flow->skip_bytes, size, index);
        if (verdict == RIGHT) {
            uint64_t at;
            memcpy(&at, payload + 16, 8);
            uint64_t microseconds = (now - at) / 1000;
            result->histogram[microseconds < 99999 ? microseconds : 99999]++;
            flow->received++;
            arrived++;
        } else if (verdict == WRONG) {
            flow->bad++;
        }
    }
    return arrived;
}

/* Runs for `seconds`; `rate` > 0 paces the whole to that many datagrams a second (open loop), 0 is as fast as the window lets. */
int run(struct flow *flows, int count, int size, int burst, int window, double rate, double seconds, struct result *result) {
    if (size < 32 || size > MAX_SIZE || burst < 1 || burst > MAX_BATCH) return -EINVAL;
    int poller = epoll_create1(0);
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, flows[i].receive_fd, &event)) return -errno;
    }
    uint64_t start = nanoseconds(), end = start + (uint64_t)(seconds * 1e9), quiet = 0;
    uint64_t sent = 0, arrived = 0, last_arrival = start;
    uint64_t this_run = start << 16; /* the low 16 bits are the flow's */
    int turn = 0;
    struct epoll_event events[256];
    for (;;) {
        uint64_t now = nanoseconds();
        if (now >= end) {
            if (!quiet) quiet = now;
            if (arrived >= sent || now - quiet > 300000000u) break; /* what is still on its way may arrive */
        } else if (rate > 0) {
            while (sent < (uint64_t)((now - start) / 1e9 * rate)) {
                int done = send_burst(&flows[turn], this_run | (uint64_t)turn, size, burst);
                turn = (turn + 1) % count;
                if (!done) break;
                sent += done;
            }
        } else {
            if (now - last_arrival > 100000000u) arrived = sent, last_arrival = now; /* lost: open the window again */
            while ((int64_t)(sent - arrived) + burst <= window) {
                int done = send_burst(&flows[turn], this_run | (uint64_t)turn, size, burst);
                turn = (turn + 1) % count;
                if (!done) break;
                sent += done;
            }
        }
        int ready = epoll_wait(poller, events, 256, rate > 0 ? 0 : 1);
        for (int i = 0; i < ready; i++) {
            uint32_t index = events[i].data.u32;
            int got = receive(&flows[index], this_run | index, size, result);
            if (got) arrived += got, last_arrival = nanoseconds();
        }
    }
    result->seconds = (end - start) / 1e9;
    for (int i = 0; i < count; i++) {
        result->sent += flows[i].sent;
        result->received += flows[i].received;
        result->bad += flows[i].bad;
    }
    close(poller);
    return 0;
}
