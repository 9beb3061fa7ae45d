/* The load generator: plays senders and receivers of datagrams in one thread and checks every byte that arrives.

   Built by load.py into a shared object. A flow's turn sends `burst` datagrams at once. Closed loop: at most `window`
   datagrams are in flight in all. Open loop: `rate` datagrams a second, evenly spaced.

   A payload is (run and flow, number, time sent) and then a piece of one random pattern; where it begins follows from flow
   and number. What is lost, altered, repeated, out of order or misdelivered is seen; stragglers of an earlier run are passed over.

   Ends with offloads send a burst as one UDP_SEGMENT run and receive with UDP_GRO, as network cards do on both sides of a
   real server; plain ends use sendmmsg and recvmmsg. The caller sets the receiving sockets' options. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_BURST 64
#define MAX_SIZE 1500
#define STAMP 24            /* bytes of the three numbers in front of the pattern */
#define PATTERN_STARTS 4096
#define BUCKETS 100000
#define PLAIN_SLOT 2048
#define RUN_SLOT 65536
#define QUIET 300000000u    /* ns: how long stragglers are waited for at the end */
#define LOST_AFTER 100000000u

struct flow {
    int32_t send_fd, receive_fd;
    struct sockaddr_in to;
    uint8_t head[4], expected[4];   /* ChannelData headers: in front of what is sent, of what is received */
    int32_t head_bytes, expected_bytes;
    int32_t group;                  /* 0 or 1: which histogram */
    uint64_t sent, received, bad, next;
};

struct options {
    int32_t size, burst, window;
    int32_t offloads;               /* bursts are UDP_SEGMENT runs, receivers have UDP_GRO */
    double rate, seconds;           /* rate 0: closed loop; else latency by the kernel's receive stamps (SO_TIMESTAMPNS) */
};

struct result {
    uint64_t sent, received, bad;
    double seconds, busy_seconds;   /* the time in which the generator had something to do */
    uint32_t histogram[2][BUCKETS]; /* one-way latency in microseconds, the last bucket and above */
};

static uint8_t pattern[PATTERN_STARTS + MAX_SIZE];
static uint8_t space[16 * RUN_SLOT];

static uint64_t nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void make_pattern(void) {
    uint64_t state = 0x9E3779B97F4A7C15u;
    for (size_t i = 0; i < sizeof pattern; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        pattern[i] = (uint8_t)(state >> 32);
    }
}

static uint8_t *pattern_of(uint64_t flow, uint64_t number) {
    return pattern + ((flow * 613 + number * 37) % PATTERN_STARTS);
}

/* Sending. */

static int send_burst(struct flow *flow, uint64_t index, const struct options *options) {
    static uint8_t starts[MAX_BURST][4 + STAMP];
    static struct mmsghdr messages[MAX_BURST];
    static struct iovec vectors[MAX_BURST][2];
    int burst = options->burst, done;
    uint64_t now = options->rate > 0 ? nanoseconds(CLOCK_REALTIME) : 0;
    for (int i = 0; i < burst; i++) {
        uint64_t words[3] = {index, flow->sent + (uint64_t)i, now};
        memcpy(starts[i], flow->head, 4);
        memcpy(starts[i] + flow->head_bytes, words, STAMP);
        vectors[i][0] = (struct iovec){starts[i], (size_t)flow->head_bytes + STAMP};
        vectors[i][1] = (struct iovec){pattern_of(index, words[1]), (size_t)options->size - STAMP};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &flow->to, .msg_namelen = sizeof flow->to,
                                              .msg_iov = vectors[i], .msg_iovlen = 2};
    }
    if (options->offloads && burst > 1) {
        union { struct cmsghdr header; uint8_t room[CMSG_SPACE(sizeof(uint16_t))]; } control = {0};
        uint16_t segment = (uint16_t)(options->size + flow->head_bytes);
        struct msghdr *run = &messages[0].msg_hdr;
        run->msg_iovlen = 2 * (size_t)burst;
        run->msg_control = &control, run->msg_controllen = sizeof control;
        control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof segment), .cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT};
        memcpy(CMSG_DATA(&control.header), &segment, sizeof segment);
        done = sendmsg(flow->send_fd, run, MSG_DONTWAIT) > 0 ? burst : 0;
    } else {
        done = sendmmsg(flow->send_fd, messages, (unsigned)burst, MSG_DONTWAIT);
    }
    if (done <= 0) return 0;
    flow->sent += (uint64_t)done;
    return done;
}

/* Receiving. */

enum verdict { RIGHT, WRONG, STRAGGLER };

static enum verdict check(struct flow *flow, const uint8_t *datagram, int length, uint64_t index, int size, uint64_t *at) {
    uint64_t words[3];
    const uint8_t *payload = datagram + flow->expected_bytes;
    if (length < flow->expected_bytes + STAMP) return WRONG;
    memcpy(words, payload, STAMP);
    if (words[0] >> 16 != index >> 16) return STRAGGLER;
    if (length != flow->expected_bytes + size || words[0] != index) return WRONG;
    if (words[1] < flow->next || words[1] >= flow->sent) return WRONG;
    if (memcmp(datagram, flow->expected, (size_t)flow->expected_bytes)) return WRONG;
    if (memcmp(payload + STAMP, pattern_of(index, words[1]), (size_t)size - STAMP)) return WRONG;
    flow->next = words[1] + 1;
    *at = words[2];
    return RIGHT;
}

static void read_controls(struct msghdr *header, int *segment, uint64_t *stamp) {
    for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control; control = CMSG_NXTHDR(header, control)) {
        if (control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_GRO) {
            memcpy(segment, CMSG_DATA(control), sizeof *segment);
        } else if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec time;
            memcpy(&time, CMSG_DATA(control), sizeof time);
            *stamp = (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
        }
    }
}

static void observe(struct result *result, int group, uint64_t sent_at, uint64_t stamp) {
    uint64_t microseconds = stamp > sent_at ? (stamp - sent_at) / 1000 : 0;
    result->histogram[group][microseconds < BUCKETS ? microseconds : BUCKETS - 1]++;
}

static int receive(struct flow *flow, uint64_t index, const struct options *options, struct result *result) {
    static struct mmsghdr messages[MAX_BURST];
    static struct iovec vectors[MAX_BURST];
    static uint8_t controls[MAX_BURST][128];
    int slots = options->offloads ? (int)(sizeof space / RUN_SLOT) : MAX_BURST, arrived = 0;
    size_t room = options->offloads ? RUN_SLOT : PLAIN_SLOT;
    for (int i = 0; i < slots; i++) {
        vectors[i] = (struct iovec){space + (size_t)i * room, room};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
        if (options->offloads || options->rate > 0) {
            messages[i].msg_hdr.msg_control = controls[i], messages[i].msg_hdr.msg_controllen = sizeof controls[i];
        }
    }
    int count = recvmmsg(flow->receive_fd, messages, (unsigned)slots, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
        const uint8_t *data = vectors[i].iov_base;
        int left = (int)messages[i].msg_len, segment = 0;
        uint64_t stamp = 0, at = 0;
        read_controls(&messages[i].msg_hdr, &segment, &stamp);
        if (segment <= 0) segment = left;
        do {
            int length = segment < left ? segment : left;
            enum verdict verdict = check(flow, data, length, index, options->size, &at);
            if (verdict == RIGHT) {
                if (stamp) observe(result, flow->group, at, stamp);
                flow->received++, arrived++;
            } else if (verdict == WRONG) {
                flow->bad++;
            }
            data += length, left -= length;
        } while (left > 0);
    }
    return arrived;
}

/* The loop. */

/* Closed loops never sleep: on loopback the server would pay for waking the receiver, which no network card asks of it. */
static int wait_ready(int poller, struct epoll_event *events, int room, double rate, uint64_t now, uint64_t next) {
    if (rate <= 0) return epoll_wait(poller, events, room, 0);
    uint64_t pause = next > now ? next - now : 0;
    struct timespec timeout = {(time_t)(pause / 1000000000u), (long)(pause % 1000000000u)};
    return epoll_pwait2(poller, events, room, &timeout, NULL);
}

static int watch(const struct flow *flows, int count) {
    int poller = epoll_create1(0);
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, flows[i].receive_fd, &event)) return -errno;
    }
    return poller;
}

static void loop(struct flow *flows, int count, const struct options *options, int poller, struct result *result) {
    uint64_t start = nanoseconds(CLOCK_MONOTONIC), end = start + (uint64_t)(options->seconds * 1e9);
    uint64_t now = start, began = start, idle = 0, last_arrival = start, next = start;
    uint64_t this_run = start << 16; /* the low 16 bits are the flow's */
    int64_t in_flight = 0, all = 0;
    int turn = 0, worked = 1;
    struct epoll_event events[256];
    for (;; began = now) {
        now = nanoseconds(CLOCK_MONOTONIC);
        if (!worked) idle += now - began;
        worked = 0;
        if (now >= end) {
            if (in_flight <= 0 || now - end > QUIET) break; /* what is still on its way may arrive */
            next = now + 1000000u;
        } else if (!options->rate && now - last_arrival > LOST_AFTER) {
            in_flight = 0, last_arrival = now; /* lost: opens the window again */
        }
        while (now < end && (options->rate > 0 ? now >= next : in_flight + options->burst <= options->window)) {
            int done = send_burst(&flows[turn], this_run | (uint64_t)turn, options);
            turn = (turn + 1) % count;
            if (!done) break;
            in_flight += done, all += done, worked = 1;
            if (options->rate > 0) next = start + (uint64_t)((double)all / options->rate * 1e9);
        }
        int ready = wait_ready(poller, events, 256, options->rate, now, next);
        for (int i = 0; i < ready; i++) {
            uint32_t index = events[i].data.u32;
            int got = receive(&flows[index], this_run | index, options, result);
            if (got) in_flight -= got, last_arrival = now;
            worked = 1;
        }
    }
    result->busy_seconds = (double)(now - start - idle) / 1e9;
}

/* Runs for `seconds`, then until all has arrived or 0.3 s have passed. Negative errno when it cannot. */
int run(struct flow *flows, int count, const struct options *options, struct result *result) {
    if (options->size < 32 || options->size > MAX_SIZE || options->burst < 1 || options->burst > MAX_BURST) return -EINVAL;
    if (count < 1 || count > 65535 || options->burst * (options->size + 4) > 65507) return -EINVAL;
    if (!pattern[0]) make_pattern();
    prctl(PR_SET_TIMERSLACK, 1);
    int poller = watch(flows, count);
    if (poller < 0) return poller;
    loop(flows, count, options, poller, result);
    close(poller);
    result->seconds = options->seconds;
    for (int i = 0; i < count; i++) {
        result->sent += flows[i].sent;
        result->received += flows[i].received;
        result->bad += flows[i].bad;
    }
    return 0;
}
