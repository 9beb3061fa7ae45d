/* The media of many participants in one thread: sends, receives, checks, reports. Built and called by media.py.

   It sleeps on the clock, never on sockets: waking a sleeping receiver would be charged to the server. Times of arrival are the
   kernel's, so that being late itself does not falsify them. */
#include "subscriber.h"

#define TICK_NS 500000
#define SUBSCRIBERS_EACH 10 /* ticks */
#define CHECK_EACH (4 * SECOND)
#define SO_TIMESTAMPNS_OLD 35

struct engine *engine_open(srtp_function protect, srtp_function unprotect, srtp_function protect_rtcp, srtp_function unprotect_rtcp) {
    struct engine *engine = calloc(1, sizeof *engine);
    engine->srtp = (struct srtp){protect, unprotect, protect_rtcp, unprotect_rtcp};
    engine->poller = epoll_create1(0);
    engine->began_at = nanoseconds(CLOCK_REALTIME);
    pthread_mutexattr_t inherit;
    pthread_mutexattr_init(&inherit);
    pthread_mutexattr_setprotocol(&inherit, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&engine->lock, &inherit);
    return engine;
}

static int add(struct engine *engine, struct connection *connection) {
    int on = 1;
    setsockopt(connection->fd, SOL_SOCKET, SO_TIMESTAMPNS_OLD, &on, sizeof on);
    pthread_mutex_lock(&engine->lock);
    if (engine->count == engine->room) {
        engine->room = engine->room ? 2 * engine->room : 64;
        engine->connections = realloc(engine->connections, (size_t)engine->room * sizeof(struct connection *));
    }
    int index = engine->count++;
    engine->connections[index] = connection;
    pthread_mutex_unlock(&engine->lock);
    return index;
}

static struct connection *connection_of(int fd, void *outbound, void *inbound, const uint8_t *check, int check_bytes) {
    struct connection *connection = calloc(1, sizeof *connection);
    *connection = (struct connection){.fd = fd, .outbound = outbound, .inbound = inbound, .check_bytes = check_bytes};
    connection->check_at = nanoseconds(CLOCK_REALTIME) + CHECK_EACH;
    memcpy(connection->check, check, (size_t)check_bytes);
    return connection;
}

/* Reads from the connection from now on: its layers or slots are known. */
void engine_begin(struct engine *engine, int index) {
    pthread_mutex_lock(&engine->lock);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = engine->connections[index]};
    epoll_ctl(engine->poller, EPOLL_CTL_ADD, engine->connections[index]->fd, &event);
    pthread_mutex_unlock(&engine->lock);
}

/* The connection's number. Layers follow by engine_layer, the first is audio. */
int engine_publish(struct engine *engine, int fd, void *outbound, void *inbound, const uint8_t *check, int check_bytes, int source, int audio_mid, int video_mid) {
    struct connection *connection = connection_of(fd, outbound, inbound, check, check_bytes);
    struct publisher *publisher = connection->publisher = calloc(1, sizeof *publisher);
    uint64_t now = nanoseconds(CLOCK_REALTIME);
    publisher->connection = connection, publisher->source = (uint16_t)source;
    publisher->mids[0] = (char)audio_mid, publisher->mids[1] = (char)video_mid;
    publisher->paced = calloc(PACED, sizeof *publisher->paced);
    publisher->paced_at = now, publisher->key_wanted = 2;
    publisher->video_at = now + (uint64_t)(chance() * (double)SECOND / FRAMES_PER_SECOND);
    publisher->audio_at = now + (uint64_t)(chance() * 20 * (double)MILLISECOND);
    publisher->report_at = now + (uint64_t)(chance() * (double)SECOND);
    return add(engine, connection);
}

void engine_layer(struct engine *engine, int index, const char *rid, uint32_t ssrc, uint32_t rtx_ssrc, int width, int height, int bps) {
    pthread_mutex_lock(&engine->lock);
    struct publisher *publisher = engine->connections[index]->publisher;
    struct layer *layer = &publisher->layer[publisher->layers];
    *layer = (struct layer){.ssrc = ssrc, .rtx_ssrc = rtx_ssrc, .width = width, .height = height, .bps = bps, .active = 1};
    strncpy(layer->rid, rid, sizeof layer->rid - 1);
    layer->audio = !publisher->layers++, layer->sequence = (uint16_t)(ssrc >> 3), layer->timestamp = ssrc * 7u;
    layer->wire_picture = (uint16_t)(ssrc >> 5), layer->tl0 = (uint8_t)(ssrc >> 9);
    if (!layer->audio) layer->history = calloc(HISTORY, sizeof *layer->history);
    pthread_mutex_unlock(&engine->lock);
}

/* What decoders make a picture of in each frame of the layer; 0 when it has to be shorter. */
int engine_picture(struct engine *engine, int index, int number, int keyframe, const uint8_t *bytes, int length) {
    if (length > MAX_PICTURE_BYTES) return 0;
    pthread_mutex_lock(&engine->lock);
    struct picture *picture = &engine->connections[index]->publisher->layer[number].pictures[keyframe];
    picture->length = length;
    memcpy(picture->bytes, bytes, (size_t)length);
    pthread_mutex_unlock(&engine->lock);
    return 1;
}

/* Switches a layer; one that comes back begins with a keyframe, of all layers. */
void engine_activate(struct engine *engine, int index, int layer, int active) {
    pthread_mutex_lock(&engine->lock);
    struct publisher *publisher = engine->connections[index]->publisher;
    if (active && !publisher->layer[layer].active && layer) publisher->key_wanted = 2;
    publisher->layer[layer].active = active;
    pthread_mutex_unlock(&engine->lock);
}

void engine_talk(struct engine *engine, int index, int talking) {
    pthread_mutex_lock(&engine->lock);
    struct publisher *publisher = engine->connections[index]->publisher;
    if (talking && !publisher->talking) publisher->audio_at = nanoseconds(CLOCK_REALTIME);
    publisher->talking = talking;
    pthread_mutex_unlock(&engine->lock);
}

int engine_subscribe(struct engine *engine, int fd, void *outbound, void *inbound, const uint8_t *check, int check_bytes) {
    struct connection *connection = connection_of(fd, outbound, inbound, check, check_bytes);
    struct subscriber *subscriber = connection->subscriber = calloc(1, sizeof *subscriber);
    subscriber->connection = connection, subscriber->measured = 1;
    subscriber->ssrc = (uint32_t)(chance() * 4294967295.0);
    return add(engine, connection);
}

/* `check_every` 0: orders, repairs and checks everything; else counts, and checks one packet in so many. */
void engine_follow(struct engine *engine, int index, int check_every, int measured) {
    pthread_mutex_lock(&engine->lock);
    struct subscriber *subscriber = engine->connections[index]->subscriber;
    subscriber->check_every = check_every, subscriber->measured = measured;
    pthread_mutex_unlock(&engine->lock);
}

/* Packets that are not of our publishers are followed as a browser would, instead of being faults. */
void engine_mix(struct engine *engine) { engine->mixed = 1; }

/* The slot's number among the connection's. */
int engine_slot(struct engine *engine, int index, uint32_t ssrc, uint32_t rtx_ssrc, int audio) {
    pthread_mutex_lock(&engine->lock);
    struct subscriber *subscriber = engine->connections[index]->subscriber;
    int number = subscriber->slots < MAX_SLOTS ? subscriber->slots++ : -1;
    if (number >= 0) {
        subscriber->slot[number] = (struct slot){.ssrc = ssrc, .rtx_ssrc = rtx_ssrc, .audio = audio, .report.ssrc = ssrc};
        if (!audio && !subscriber->check_every) subscriber->slot[number].window = calloc(WINDOW, sizeof(struct arrival));
    }
    pthread_mutex_unlock(&engine->lock);
    return number;
}

/* What the slot has seen; `fresh`: the longest gap and the time to a keyframe are measured from now on. */
void engine_report(struct engine *engine, int index, int number, struct report *report, int fresh) {
    pthread_mutex_lock(&engine->lock);
    struct slot *slot = &engine->connections[index]->subscriber->slot[number];
    *report = slot->report;
    if (fresh) slot->report.longest_gap = 0, slot->report.first_keyframe_at = 0;
    pthread_mutex_unlock(&engine->lock);
}

/* frames, keyframes, repeats, keyframe requests, bytes, packets. */
void engine_sent(struct engine *engine, int index, int number, uint64_t counts[6]) {
    pthread_mutex_lock(&engine->lock);
    struct layer *layer = &engine->connections[index]->publisher->layer[number];
    uint64_t all[6] = {layer->frames, layer->keyframes, layer->repeats, layer->requests, layer->bytes, layer->packets};
    memcpy(counts, all, sizeof all);
    pthread_mutex_unlock(&engine->lock);
}

/* bytes in, packets in, bytes out, packets out, packets that failed, bytes of padding and needless repeats. */
void engine_traffic(struct engine *engine, int index, uint64_t counts[6]) {
    pthread_mutex_lock(&engine->lock);
    struct connection *connection = engine->connections[index];
    uint64_t padding = connection->subscriber ? connection->subscriber->padding_bytes : 0;
    uint64_t all[6] = {connection->bytes_in, connection->packets_in, connection->bytes_out, connection->packets_out, connection->bad, padding};
    memcpy(counts, all, sizeof all);
    pthread_mutex_unlock(&engine->lock);
}

/* Copies a latency histogram and begins a new one. */
void engine_latency(struct engine *engine, int video, uint32_t *histogram) {
    pthread_mutex_lock(&engine->lock);
    memcpy(histogram, engine->latency[video], sizeof engine->latency[video]);
    memset(engine->latency[video], 0, sizeof engine->latency[video]);
    pthread_mutex_unlock(&engine->lock);
}

/* Copies the bins up to now, `room` at most; how many. */
int engine_bins(struct engine *engine, uint32_t *bins, int room) {
    uint64_t now = (nanoseconds(CLOCK_REALTIME) - engine->began_at) / (100 * MILLISECOND);
    int count = now < (uint64_t)room ? (int)now : room;
    memcpy(bins, engine->bins, (size_t)count * sizeof *bins);
    return count;
}

void engine_cost(struct engine *engine, uint64_t counts[2]) { counts[0] = engine->busy_ns, counts[1] = engine->late_ns; }

static void take_rtcp(struct engine *engine, struct connection *connection, uint8_t *data, int length, uint64_t now) {
    if (engine->srtp.unprotect_rtcp(connection->inbound, data, &length)) {
        connection->bad++;
        return;
    }
    for (int at = 0; at + 8 <= length;) {
        int size = 4 * ((int)get16(data + at + 2) + 1);
        if (at + size > length) break;
        if (connection->publisher) take_feedback(engine, connection->publisher, data + at, size);
        else take_report(connection->subscriber, data + at, size, now);
        at += size;
    }
}

static void take(struct engine *engine, struct connection *connection, uint8_t *data, int length, uint64_t now) {
    uint64_t bin = now > engine->began_at ? (now - engine->began_at) / (100 * MILLISECOND) : 0;
    connection->bytes_in += (uint64_t)length + HEADERS_BYTES, connection->packets_in++;
    if (bin < BINS) engine->bins[bin] += (uint32_t)length + HEADERS_BYTES;
    if (length < 12 || data[0] >> 6 != 2) return; /* answers to our checks, DTLS */
    if (data[1] >= 192 && data[1] <= 223) take_rtcp(engine, connection, data, length, now);
    else if (connection->subscriber) take_rtp(engine, connection->subscriber, data, length, now);
}

static uint64_t stamp(struct msghdr *message, uint64_t otherwise) {
    for (struct cmsghdr *each = CMSG_FIRSTHDR(message); each; each = CMSG_NXTHDR(message, each))
        if (each->cmsg_level == SOL_SOCKET && each->cmsg_type == SO_TIMESTAMPNS_OLD) {
            struct timespec time;
            memcpy(&time, CMSG_DATA(each), sizeof time);
            return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
        }
    return otherwise;
}

static void receive(struct engine *engine, struct connection *connection) {
    static uint8_t packets[BATCH][ROOM];
    static union { char bytes[CMSG_SPACE(sizeof(struct timespec))]; struct cmsghdr align; } controls[BATCH];
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    int count;
    do {
        memset(messages, 0, sizeof messages);
        for (int i = 0; i < BATCH; i++) {
            vectors[i] = (struct iovec){packets[i], ROOM};
            messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1, .msg_control = &controls[i], .msg_controllen = sizeof controls[i]};
        }
        count = recvmmsg(connection->fd, messages, BATCH, MSG_DONTWAIT, NULL);
        uint64_t now = count > 0 ? nanoseconds(CLOCK_REALTIME) : 0;
        for (int i = 0; i < count; i++) {
            uint64_t at = stamp(&messages[i].msg_hdr, now);
            if (now > at && now - at > engine->late_ns) engine->late_ns = now - at;
            take(engine, connection, packets[i], (int)messages[i].msg_len, at);
        }
    } while (count == BATCH);
}

static void turn(struct engine *engine) {
    struct epoll_event events[256];
    uint64_t now = nanoseconds(CLOCK_REALTIME);
    int all = engine->turns++ % SUBSCRIBERS_EACH == 0;
    for (int i = 0; i < engine->count; i++) {
        struct connection *connection = engine->connections[i];
        if (connection->fd < 0 || !(connection->publisher || all)) continue;
        if (now >= connection->check_at) {
            connection->check_at = now + CHECK_EACH;
            send_plain(connection, connection->check, connection->check_bytes);
        }
        if (connection->publisher) publish(engine, connection->publisher, now);
        else subscribe(engine, connection->subscriber, now);
    }
    int ready = epoll_wait(engine->poller, events, 256, 0);
    for (int i = 0; i < ready; i++) receive(engine, events[i].data.ptr);
}

/* Until engine_stop. */
void engine_run(struct engine *engine) {
    struct timespec pause = {0, TICK_NS};
    while (!__atomic_load_n(&engine->stop, __ATOMIC_RELAXED)) {
        pthread_mutex_lock(&engine->lock);
        turn(engine);
        engine->busy_ns = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
        pthread_mutex_unlock(&engine->lock);
        nanosleep(&pause, NULL);
    }
}

void engine_stop(struct engine *engine) { __atomic_store_n(&engine->stop, 1, __ATOMIC_RELAXED); }

/* No more of this connection; its socket is the caller's to close. */
void engine_leave(struct engine *engine, int index) {
    pthread_mutex_lock(&engine->lock);
    struct connection *connection = engine->connections[index];
    epoll_ctl(engine->poller, EPOLL_CTL_DEL, connection->fd, NULL);
    connection->fd = -1;
    pthread_mutex_unlock(&engine->lock);
}
