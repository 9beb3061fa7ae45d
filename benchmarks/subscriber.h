/* A browser's receiving side, without a decoder: puts packets in order, asks for repeats and keyframes, says what arrived.

   A frame counts as decoded when it is whole and what it refers to was decoded. Every packet is authenticated and its body
   compared, or one in `check_every` of a subscriber that only counts. */
#include "publisher.h"

#define MAX_SLOTS 64
#define WINDOW 1024
#define MAX_ARRIVALS 1024
#define NACK_AFTER (10 * MILLISECOND)
#define NACK_AGAIN (60 * MILLISECOND)
#define GIVE_UP (500 * MILLISECOND)
#define PLI_AGAIN (500 * MILLISECOND)
#define FEEDBACK_EACH (100 * MILLISECOND)
#define REMEMBERED 32
#define FOREIGN UINT32_MAX /* source of what is not of our publishers */
enum { UNKNOWN, MISSING, HERE, GONE };

/* One packet, waiting for those before it. */
struct arrival {
    uint64_t at, asked_at;
    struct body body;
    uint16_t picture;
    uint8_t state, start, marker, tl0, temporal, padding, foreign, key;
    uint16_t width, height;
};

/* What Python reads of a slot. Times are nanoseconds; 0: never. */
struct report {
    uint32_t ssrc, source, layer, width, height;
    uint64_t packets, bytes, lost, late, repaired, wrong, foreign, unheard;
    uint64_t frames, decoded, keyframes, undecodable, picture_errors, level_errors, marker_errors, switch_errors;
    uint64_t nacks, plis, first_packet_at, first_keyframe_at, decoded_at, longest_gap, longest_gap_at, switches, temporal[4];
};

struct slot {
    uint32_t ssrc, rtx_ssrc, last_sr;
    int audio;
    struct report report;
    int64_t highest, next;      /* extended sequence numbers; next: the first that is not dealt with */
    uint64_t sr_at, pli_at;
    uint32_t counter, base, received, received_before, expected_before, missing;
    struct arrival *window;
    int stuck, index, broken, continuous, known;
    uint16_t picture, decoded[REMEMBERED];
    uint8_t tl0;
};

struct subscriber {
    struct connection *connection;
    int slots, check_every, seen, measured; /* check_every 0: takes everything */
    uint32_t ssrc;
    struct slot slot[MAX_SLOTS];
    struct { uint16_t number; uint64_t at; } arrivals[MAX_ARRIVALS];
    int arrived;
    int64_t reported;               /* the next transport-wide number to report on */
    uint8_t feedback_count;
    uint64_t feedback_at, report_at, tick_at, padding_bytes;
};

static struct slot *find_slot(struct subscriber *subscriber, uint32_t ssrc, int *repaired) {
    for (int i = 0; i < subscriber->slots; i++) {
        struct slot *slot = &subscriber->slot[i];
        *repaired = slot->rtx_ssrc == ssrc && !slot->audio;
        if (slot->ssrc == ssrc || *repaired) return slot;
    }
    return NULL;
}

/* Whether the last decoded frames of this layer have that one. */
static int is_decoded(const struct slot *slot, uint16_t picture) {
    for (int i = 0; i < slot->known && i < REMEMBERED; i++)
        if (slot->decoded[i] == picture) return 1;
    return 0;
}

/* A picture is there, of the same stream as the one before unless `changed`. */
static void note_decoded(struct slot *slot, const struct arrival *arrival, int changed) {
    struct report *report = &slot->report;
    if (report->decoded_at && !changed && arrival->at > report->decoded_at + report->longest_gap)
        report->longest_gap = arrival->at - report->decoded_at, report->longest_gap_at = arrival->at;
    report->decoded++, report->decoded_at = arrival->at, slot->stuck = 0;
}

static void decode(struct slot *slot, const struct arrival *arrival) {
    struct report *report = &slot->report;
    const struct body *body = &arrival->body;
    int changed = body->source != report->source || body->layer != report->layer;
    if (changed && !body->keyframe && !slot->stuck) report->switch_errors++;
    if (body->keyframe) {
        if (changed) report->switches++, report->longest_gap = 0;
        slot->known = 0;
        report->keyframes++, report->source = body->source, report->layer = body->layer;
        if (!report->first_keyframe_at) report->first_keyframe_at = arrival->at;
    } else if (changed || !is_decoded(slot, body->references[0]) || !is_decoded(slot, body->references[1])) {
        report->undecodable++, slot->stuck = 1;
        return;
    }
    memmove(slot->decoded + 1, slot->decoded, sizeof slot->decoded - sizeof slot->decoded[0]);
    slot->decoded[0] = body->picture, slot->known++;
    report->temporal[body->temporal & 3]++;
    note_decoded(slot, arrival, changed);
}

/* A browser's frame counts as decoded when it is whole and no frame has been broken since the last keyframe. */
static void assemble_foreign(struct slot *slot, const struct arrival *arrival) {
    struct report *report = &slot->report;
    int changed = report->source != FOREIGN;
    if (changed) report->source = FOREIGN, report->longest_gap = 0, slot->stuck = 1;
    slot->continuous = slot->known = slot->index = 0;
    if (arrival->start) {
        report->frames++, slot->broken = 0;
        if (arrival->key) slot->stuck = 0, report->keyframes++;
        if (arrival->key && !report->first_keyframe_at) report->first_keyframe_at = arrival->at;
    }
    if (!arrival->marker) return;
    if (slot->broken || slot->stuck) slot->stuck = 1, report->undecodable++;
    else note_decoded(slot, arrival, changed);
}

/* The next packet in order; `arrival` NULL: it will never come. */
static void assemble(struct slot *slot, const struct arrival *arrival) {
    struct report *report = &slot->report;
    if (!arrival) {
        slot->broken = 1, slot->continuous = 0;
        return;
    }
    if (arrival->padding) return;
    if (arrival->width) report->width = arrival->width, report->height = arrival->height;
    if (arrival->foreign) {
        assemble_foreign(slot, arrival);
        return;
    }
    if (arrival->start != !arrival->body.index) report->wrong++;
    if (arrival->start) {
        uint8_t expected = (uint8_t)(slot->tl0 + !arrival->temporal);
        if (slot->continuous && slot->index && !arrival->body.keyframe) report->marker_errors++; /* where the uplink was full a frame ends early */
        if (slot->continuous && arrival->picture != ((slot->picture + 1) & 0x7FFF)) report->picture_errors++;
        if (slot->continuous && arrival->tl0 != expected) report->level_errors++;
        slot->index = 0, slot->broken = 0, slot->picture = arrival->picture, slot->tl0 = arrival->tl0, slot->continuous = 1;
        report->frames++;
    } else if (slot->continuous && (arrival->picture != slot->picture || arrival->body.index != slot->index)) {
        report->marker_errors++, slot->broken = 1;
    }
    slot->index = arrival->body.index + 1;
    if (slot->continuous && arrival->marker != (slot->index == arrival->body.count)) report->marker_errors++;
    if (slot->index != arrival->body.count) return;
    slot->index = 0;
    if (slot->broken) slot->stuck = 1, report->undecodable++;
    else decode(slot, arrival);
}

static void advance(struct slot *slot, uint64_t now) {
    while (slot->next <= slot->highest) {
        struct arrival *arrival = &slot->window[slot->next % WINDOW];
        if (arrival->state == MISSING && now - arrival->at < GIVE_UP) return;
        if (arrival->state == MISSING) slot->report.lost++, slot->missing--;
        assemble(slot, arrival->state == HERE ? arrival : NULL);
        arrival->state = GONE;
        slot->next++;
    }
}

/* Takes the packet's place in the order; 0 when it is not needed any more. */
static int place(struct slot *slot, struct arrival *arrival, uint32_t number, int repaired, uint64_t now) {
    if (!slot->report.first_packet_at) {
        if (repaired) return 0;
        slot->report.first_packet_at = now;
        slot->highest = slot->next = slot->base = 65536 + number, slot->highest--;
    }
    int64_t extended = slot->highest + (int16_t)(number - (uint32_t)slot->highest);
    if (extended < slot->next) return 0;
    if (extended - slot->next >= WINDOW) {
        slot->report.lost += (uint64_t)(extended - slot->highest - 1) + slot->missing;
        slot->missing = 0, slot->next = extended, slot->highest = extended - 1;
        assemble(slot, NULL);
    }
    for (int64_t gap = slot->highest + 1; gap < extended; gap++, slot->missing++)
        slot->window[gap % WINDOW] = (struct arrival){.state = MISSING, .at = now};
    struct arrival *there = &slot->window[extended % WINDOW];
    if (extended <= slot->highest) {
        if (there->state != MISSING) return 0;
        slot->missing--, slot->report.repaired += (uint64_t)repaired;
    } else slot->highest = extended;
    arrival->state = HERE;
    *there = *arrival;
    return 1;
}

/* Reads descriptor, frame header and body; 0 when the payload is not what was sent. */
static int read_video(struct arrival *arrival, const uint8_t *at, const uint8_t *end) {
    if (at == end) return arrival->padding = 1;
    if (end - at < DESCRIPTOR_BYTES + (int)sizeof(struct body) || at[0] != (0x80 | (at[0] & 0x10)) || at[1] != 0xE0 || !(at[2] & 0x80)) return 0;
    arrival->start = at[0] >> 4 & 1, arrival->picture = (uint16_t)(get16(at + 2) & 0x7FFF);
    arrival->tl0 = at[4], arrival->temporal = at[5] >> 6;
    int key = arrival->start && !(at[6] & 1);
    if (key) arrival->width = (uint16_t)(at[12] | at[13] << 8), arrival->height = (uint16_t)(at[14] | at[15] << 8);
    end -= sizeof(struct body);
    memcpy(&arrival->body, end, sizeof(struct body));
    uint8_t pattern = (uint8_t)arrival->body.counter;
    at += DESCRIPTOR_BYTES + arrival->body.lead;
    if (at > end) return 0;
    for (; at < end; at++)
        if (*at != pattern) return 0;
    return arrival->body.temporal == arrival->temporal && (!arrival->start || arrival->body.keyframe == key);
}

/* A browser's packet, with a descriptor of any form (RFC 7741 §4.2). */
static void read_foreign(struct arrival *arrival, const uint8_t *at, const uint8_t *end) {
    int first = (at[0] & 0x1F) == 0x10, extended = at[0] >> 7;
    *arrival = (struct arrival){.at = arrival->at, .marker = arrival->marker, .foreign = 1, .start = (uint8_t)first};
    if (extended && end - at > 2) {
        int flags = at[1], numbered = flags >> 7;
        at += 1 + (numbered ? 1 + (at[2] >> 7) : 0) + (flags >> 6 & 1) + (flags & 0x30 ? 1 : 0);
    }
    at++;
    if (!first || end - at < 10 || at[0] & 1) return;
    arrival->key = 1;
    arrival->width = (uint16_t)((at[6] | at[7] << 8) & 0x3FFF), arrival->height = (uint16_t)((at[8] | at[9] << 8) & 0x3FFF);
}

static int read_audio(struct arrival *arrival, const uint8_t *at, const uint8_t *end) {
    if (end - at <= AUDIO_BODY_BYTES || *at++ != OPUS_CELT_20_MS) return 0;
    memcpy(&arrival->body, at, AUDIO_BODY_BYTES);
    for (at += AUDIO_BODY_BYTES; at < end; at++)
        if (*at != (uint8_t)arrival->body.counter) return 0;
    return 1;
}

static void note_latency(struct engine *engine, const struct arrival *arrival, int video) {
    uint64_t bucket = arrival->at > arrival->body.at ? (arrival->at - arrival->body.at) / 10000 : 0;
    engine->latency[video][bucket < BUCKETS ? bucket : BUCKETS - 1]++;
}

static void take_audio(struct slot *slot, const struct arrival *arrival, uint32_t number, uint64_t now) {
    struct report *report = &slot->report;
    if (!report->first_packet_at) report->first_packet_at = now, slot->highest = slot->base = 65535 + number;
    int64_t ahead = (int16_t)(number - (uint32_t)slot->highest);
    if (ahead <= 0 && slot->received) report->late++, report->lost -= report->lost > 0;
    else report->lost += (uint64_t)(ahead - 1) * (slot->received > 0), slot->highest += ahead;
    if (arrival->foreign) {
        report->source = FOREIGN, slot->received++;
        return;
    }
    uint32_t gap = arrival->body.counter - slot->counter - 1;
    if (slot->received && report->source == arrival->body.source && arrival->body.temporal && gap < 1u << 31)
        report->unheard += gap < arrival->body.layer ? gap : arrival->body.layer;
    report->source = arrival->body.source, slot->counter = arrival->body.counter, slot->received++;
}

/* One RTP packet of any slot, still encrypted. */
static void take_rtp(struct engine *engine, struct subscriber *subscriber, uint8_t *packet, int length, uint64_t now) {
    struct connection *connection = subscriber->connection;
    int at = header_bytes(packet, length), repaired;
    struct slot *slot = find_slot(subscriber, get32(packet + 8), &repaired);
    if (packet[0] & 0x10 && at) {
        for (int here = 16; here < at; here += packet[here] ? 2 + (packet[here] & 15) : 1)
            if (packet[here] >> 4 == TRANSPORT && subscriber->arrived < MAX_ARRIVALS) {
                subscriber->arrivals[subscriber->arrived].number = (uint16_t)get16(packet + here + 1);
                subscriber->arrivals[subscriber->arrived++].at = now;
            }
    }
    if (!slot) {
        connection->bad++;
        return;
    }
    slot->report.packets++, slot->report.bytes += (uint64_t)length + HEADERS_BYTES;
    if (subscriber->check_every && ++subscriber->seen % subscriber->check_every && !slot->audio) return;
    if (engine->srtp.unprotect(connection->inbound, packet, &length)) {
        connection->bad++;
        return;
    }
    int end = packet[0] & 0x20 ? length - packet[length - 1] : length;
    uint32_t number = get16(packet + 2);
    if (repaired && at < end) number = get16(packet + at), at += 2;
    if (repaired && at >= end) {
        subscriber->padding_bytes += (uint64_t)length + HEADERS_BYTES;
        return;
    }
    struct arrival arrival = {.at = now, .marker = packet[1] >> 7};
    if (at > end || !(slot->audio ? read_audio(&arrival, packet + at, packet + end) : read_video(&arrival, packet + at, packet + end))) {
        if (at >= end || !engine->mixed) {
            slot->report.wrong++;
            return;
        }
        slot->report.foreign++;
        read_foreign(&arrival, packet + at, packet + end);
    }
    if (!arrival.padding && !arrival.foreign && !repaired && subscriber->measured) note_latency(engine, &arrival, !slot->audio);
    if (slot->audio) take_audio(slot, &arrival, number, now);
    else if (subscriber->check_every) return;
    else if (!place(slot, &arrival, number, repaired, now)) {
        slot->report.late++;
        if (repaired) subscriber->padding_bytes += (uint64_t)length + HEADERS_BYTES;
    } else {
        slot->received++;
        advance(slot, now);
    }
}

static int put_feedback(struct subscriber *subscriber, uint8_t *data, int type, int format, uint32_t media) {
    data[0] = (uint8_t)(0x80 | format), data[1] = (uint8_t)type;
    put32(data + 4, subscriber->ssrc), put32(data + 8, media);
    return 12;
}

/* Asks again for what is missing (RFC 4585 §6.2.1), one number an entry, and for a keyframe where nothing can be shown. */
static void ask(struct engine *engine, struct subscriber *subscriber, struct slot *slot, uint64_t now) {
    uint8_t data[512];
    int length = put_feedback(subscriber, data, RTPFB, 1, slot->ssrc);
    for (int64_t number = slot->next; slot->missing && number < slot->highest && length < 400; number++) {
        struct arrival *arrival = &slot->window[number % WINDOW];
        if (arrival->state != MISSING || now < arrival->at + NACK_AFTER || now < arrival->asked_at + NACK_AGAIN) continue;
        arrival->asked_at = now, slot->report.nacks++;
        put16(data + length, (uint32_t)number & 0xFFFF), put16(data + length + 2, 0);
        length += 4;
    }
    put16(data + 2, (uint32_t)length / 4 - 1);
    if (length > 12) send_rtcp(engine, subscriber->connection, data, length);
    int wanted = slot->stuck || (slot->report.frames && !slot->report.first_keyframe_at);
    if (!wanted || now < slot->pli_at + PLI_AGAIN) return;
    slot->pli_at = now, slot->report.plis++;
    length = put_feedback(subscriber, data, PSFB, 1, slot->ssrc);
    put16(data + 2, 2);
    send_rtcp(engine, subscriber->connection, data, length);
}

/* Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01): vectors of two-bit symbols. */
static void send_arrivals(struct engine *engine, struct subscriber *subscriber) {
    uint8_t data[1300], deltas[1024];
    int64_t first = subscriber->reported, last = 0;
    uint64_t times[512] = {0}, reference = 0;
    if (!subscriber->arrived) return;
    if (!first) first = 65536 + subscriber->arrivals[0].number;
    for (int i = 0; i < subscriber->arrived; i++) {
        int64_t number = first + (int16_t)(subscriber->arrivals[i].number - (uint16_t)first);
        if (number < first || number >= first + 512) continue;
        times[number - first] = subscriber->arrivals[i].at;
        if (number > last) last = number;
    }
    subscriber->arrived = 0;
    if (!last) return;
    int length = put_feedback(subscriber, data, RTPFB, 15, subscriber->slot[0].ssrc), count = (int)(last - first + 1), used = 0;
    for (int i = 0, begun = 0; i < count && !begun; i++) reference = times[i] / (64 * MILLISECOND) * (64 * MILLISECOND), begun = times[i] > 0;
    put16(data + 12, (uint32_t)first & 0xFFFF), put16(data + 14, (uint32_t)count);
    put32(data + 16, (uint32_t)(reference / (64 * MILLISECOND)) << 8 | subscriber->feedback_count++);
    length = 20;
    for (int i = 0; i < count; i += 7, length += 2) {
        uint32_t chunk = 0xC000;
        for (int k = 0; k < 7 && i + k < count; k++) {
            if (!times[i + k]) continue;
            int64_t ticks = ((int64_t)times[i + k] - (int64_t)reference) / 250000;
            reference += (uint64_t)(ticks * 250000);
            int large = ticks < 0 || ticks > 255;
            if (large) put16(deltas + used, (uint32_t)(uint16_t)ticks), used += 2;
            else deltas[used++] = (uint8_t)ticks;
            chunk |= (uint32_t)(large ? 2 : 1) << (12 - 2 * k);
        }
        put16(data + length, chunk);
    }
    memcpy(data + length, deltas, (size_t)used);
    for (length += used; length % 4; length++) data[length] = 0;
    put16(data + 2, (uint32_t)length / 4 - 1);
    subscriber->reported = last + 1;
    send_rtcp(engine, subscriber->connection, data, length);
}

/* RR with a block for each slot that something came on, 31 at most (RFC 3550 §6.4.2). */
static void send_receiver_report(struct engine *engine, struct subscriber *subscriber, uint64_t now) {
    uint8_t data[8 + 24 * 31 + 16], *at = data + 8;
    int blocks = 0;
    for (int i = 0; i < subscriber->slots && blocks < 31; i++) {
        struct slot *slot = &subscriber->slot[i];
        if (!slot->received) continue;
        uint32_t expected = (uint32_t)(slot->highest - slot->base + 1), wanted = expected - slot->expected_before;
        uint32_t got = slot->received - slot->received_before, lost = wanted > got ? wanted - got : 0;
        put32(at, slot->ssrc), put32(at + 4, (wanted ? lost * 256 / wanted : 0) << 24 | (expected > slot->received ? (expected - slot->received) & 0x7FFFFF : 0));
        put32(at + 8, (uint32_t)slot->highest), put32(at + 12, 0), put32(at + 16, slot->last_sr);
        put32(at + 20, slot->last_sr ? (uint32_t)((now - slot->sr_at) * 65536 / SECOND) : 0);
        slot->expected_before = expected, slot->received_before = slot->received;
        at += 24, blocks++;
    }
    if (!blocks) return;
    put16(data, 0x8000u | (uint32_t)blocks << 8 | RR), put16(data + 2, (uint32_t)(at - data) / 4 - 1), put32(data + 4, subscriber->ssrc);
    send_rtcp(engine, subscriber->connection, data, (int)(at - data));
}

static void take_report(struct subscriber *subscriber, const uint8_t *data, int length, uint64_t now) {
    int repaired;
    struct slot *slot = data[1] == SR && length >= 28 ? find_slot(subscriber, get32(data + 4), &repaired) : NULL;
    if (slot) slot->last_sr = get32(data + 10), slot->sr_at = now;
}

static void subscribe(struct engine *engine, struct subscriber *subscriber, uint64_t now) {
    if (now < subscriber->tick_at) return;
    subscriber->tick_at = now + 10 * MILLISECOND;
    for (int i = 0; i < subscriber->slots && !subscriber->check_every; i++) {
        struct slot *slot = &subscriber->slot[i];
        if (slot->audio || !slot->report.first_packet_at) continue;
        if (slot->missing) advance(slot, now);
        ask(engine, subscriber, slot, now);
    }
    if (now >= subscriber->feedback_at || subscriber->arrived > 400) {
        subscriber->feedback_at = now + FEEDBACK_EACH;
        send_arrivals(engine, subscriber);
    }
    if (now < subscriber->report_at) return;
    subscriber->report_at = now + SECOND;
    send_receiver_report(engine, subscriber, now);
}
