/* A browser's sending side: Opus with DTX, VP8 in simulcast layers of three temporal layers each, paced, repeated on NACK.

   As libwebrtc does it: a keyframe request is good for all layers, at most one in 300 ms; MID and RID are sent until the first
   receiver report; the packets of a frame differ by one byte at most; sizes follow 40 % of the bits for T0, 20 % for T1. */
#include "rtp.h"

#define MAX_LAYERS 4 /* the first is audio */
#define HISTORY 512
#define PACED 512
#define MAX_PAYLOAD_BYTES 1150
#define FRAMES_PER_SECOND 30
#define KEYFRAME_GAP (300 * MILLISECOND)
#define MAX_LABELLED 60
#define PACING 2.5
#define MAX_PICTURE_BYTES 700

struct kept {
    int length, body_at;
    uint8_t bytes[ROOM];
};

/* A frame as an encoder makes it. Decoders ignore what follows it: body and pattern. */
struct picture {
    int length;
    uint8_t bytes[MAX_PICTURE_BYTES];
};

struct layer {
    uint32_t ssrc, rtx_ssrc, timestamp;
    int width, height, bps, active, audio, labelled, pattern, rtx_labelled;
    char rid[8];
    uint16_t sequence, rtx_sequence, picture, base_picture, wire_picture, mids[2]; /* pictures of T0, T1, and the T2 before T1 */
    uint8_t tl0;
    uint32_t counter, packets, octets;
    double debt;
    struct kept *history;
    struct picture pictures[2]; /* delta frame, keyframe; empty: a header that tells the size, of which no decoder makes a picture */
    uint64_t frames, keyframes, repeats, requests, bytes;
};

struct publisher {
    struct connection *connection;
    uint16_t source, transport_sequence;
    char mids[2]; /* audio, video */
    int layers, talking, spurt, key_wanted, reported;
    struct layer layer[MAX_LAYERS];
    uint64_t audio_at, video_at, keyed_at, report_at, paced_at;
    double tokens;
    struct { int layer; struct kept packet; } *paced;
    unsigned head, tail;
};

static uint8_t *put_extension(uint8_t *at, int id, const void *value, int length) {
    *at = (uint8_t)(id << 4 | (length - 1));
    memcpy(at + 1, value, (size_t)length);
    return at + 1 + length;
}

/* RTP header: transport-cc's number first (bytes 17 and 18, written when it leaves), audio level, then what labels the stream. */
static int put_header(struct publisher *publisher, struct layer *layer, uint8_t *packet, int marker, int repaired) {
    static const uint8_t none[2];
    uint8_t level = (uint8_t)(publisher->talking ? 0x80 | (20 + (int)(chance() * 15)) : 90), *at;
    int type = layer->audio ? OPUS : repaired ? RTX : VP8, *labelled = repaired ? &layer->rtx_labelled : &layer->labelled;
    packet[0] = 0x90, packet[1] = (uint8_t)(type | (marker ? 0x80 : 0));
    put16(packet + 2, repaired ? layer->rtx_sequence++ : layer->sequence++);
    put32(packet + 4, layer->timestamp), put32(packet + 8, repaired ? layer->rtx_ssrc : layer->ssrc);
    put16(packet + 12, 0xBEDE);
    at = put_extension(packet + 16, TRANSPORT, none, 2);
    if (layer->audio) at = put_extension(at, AUDIO_LEVEL, &level, 1);
    if (*labelled < MAX_LABELLED && (!publisher->reported || *labelled < 5)) {
        ++*labelled;
        at = put_extension(at, MID, &publisher->mids[!layer->audio], 1);
        if (layer->rid[0]) at = put_extension(at, repaired ? REPAIRED_RID : RID, layer->rid, (int)strlen(layer->rid));
    }
    while ((at - packet) % 4) *at++ = 0;
    put16(packet + 14, (uint32_t)(at - packet - 16) / 4);
    return (int)(at - packet);
}

/* Numbers, dates and sends; kept for repeats. */
static void leave(struct engine *engine, struct publisher *publisher, struct layer *layer, struct kept *packet, uint64_t now) {
    put16(packet->bytes + 17, publisher->transport_sequence++);
    memcpy(packet->bytes + packet->body_at + offsetof(struct body, at), &now, 8);
    if (layer->history) layer->history[get16(packet->bytes + 2) % HISTORY] = *packet;
    layer->packets++, layer->octets += (uint32_t)packet->length, layer->bytes += (uint64_t)packet->length + HEADERS_BYTES;
    send_rtp(engine, publisher->connection, packet->bytes, packet->length);
}

static void put_pattern(uint8_t *at, uint8_t *end, uint32_t counter) {
    if (end > at) memset(at, (int)(counter & 0xFF), (size_t)(end - at));
}

static void send_audio(struct engine *engine, struct publisher *publisher, uint64_t now) {
    struct layer *layer = &publisher->layer[0];
    struct kept packet;
    publisher->spurt = !publisher->talking ? 0 : publisher->spurt < 256 ? publisher->spurt + 1 : 256;
    struct body body = {.source = publisher->source, .layer = (uint8_t)(publisher->spurt - publisher->talking), .counter = layer->counter++};
    body.temporal = (uint8_t)publisher->talking;
    int size = publisher->talking ? 80 + (int)(chance() * 21) : 1 + AUDIO_BODY_BYTES, at = put_header(publisher, layer, packet.bytes, 0, 0);
    packet.bytes[at] = OPUS_CELT_20_MS;
    packet.body_at = at + 1, packet.length = at + size;
    memcpy(packet.bytes + packet.body_at, &body, AUDIO_BODY_BYTES);
    put_pattern(packet.bytes + packet.body_at + AUDIO_BODY_BYTES, packet.bytes + packet.length, body.counter);
    layer->frames++;
    leave(engine, publisher, layer, &packet, now);
}

/* Bytes of this frame: what the layer's rate allows, uneven as pictures are; a keyframe's excess is paid back over time. */
static int frame_bytes(struct layer *layer, int keyframe, int temporal) {
    double mean = layer->bps / 8.0 / FRAMES_PER_SECOND, varied = 0.75 + 0.25 * (chance() + chance());
    if (keyframe) {
        layer->debt += 5 * mean;
        return (int)(6 * mean * varied);
    }
    double size = mean * varied * (temporal ? 0.8 : 1.6), back = layer->debt < 0.25 * size ? layer->debt : 0.25 * size;
    layer->debt -= back;
    size -= back;
    return size < 64 ? 64 : (int)size;
}

/* Descriptor (RFC 7741 §4.2) with PictureID, TL0PICIDX and TID, and in the first packet what a decoder reads: its length. */
static int put_vp8(struct layer *layer, uint8_t *at, const struct body *body, int sync) {
    const struct picture *picture = &layer->pictures[body->keyframe];
    static const uint8_t start_code[3] = {0x9D, 0x01, 0x2A};
    at[0] = (uint8_t)(0x80 | (body->index ? 0 : 0x10)), at[1] = 0xE0;
    put16(at + 2, 0x8000u | (layer->wire_picture & 0x7FFFu));
    at[4] = layer->tl0, at[5] = (uint8_t)(body->temporal << 6 | (sync ? 0x20 : 0));
    if (body->index) return 0;
    memcpy(at + 6, picture->bytes, (size_t)picture->length);
    if (picture->length) return picture->length;
    memset(at + 6, 0, 10);
    at[6] = body->keyframe ? 0x10 : 0x11;
    if (!body->keyframe) return 3;
    memcpy(at + 9, start_code, 3);
    at[12] = (uint8_t)layer->width, at[13] = (uint8_t)(layer->width >> 8);
    at[14] = (uint8_t)layer->height, at[15] = (uint8_t)(layer->height >> 8);
    return 10;
}

static void pace(struct engine *engine, struct publisher *publisher, uint64_t now, int all) {
    double bps = 0;
    for (int i = 1; i < publisher->layers; i++) bps += publisher->layer[i].active ? publisher->layer[i].bps : 0;
    publisher->tokens += (double)(now - publisher->paced_at) / SECOND * bps * PACING / 8;
    publisher->paced_at = now;
    if (publisher->tokens > 6000) publisher->tokens = 6000;
    while (publisher->head != publisher->tail && (all || publisher->tokens > 0)) {
        struct kept *packet = &publisher->paced[publisher->head % PACED].packet;
        publisher->tokens -= packet->length;
        leave(engine, publisher, &publisher->layer[publisher->paced[publisher->head++ % PACED].layer], packet, now);
    }
}

/* T0 T2 T1 T2; the T2 behind T1 needs both, all others T0 alone: those are switching points (Y). */
static struct body next_frame(struct publisher *publisher, struct layer *layer, int keyframe) {
    static const uint8_t pattern[4] = {0, 2, 1, 2};
    struct body body = {.source = publisher->source, .layer = (uint8_t)(layer - publisher->layer), .keyframe = (uint8_t)keyframe};
    int step = layer->pattern = keyframe ? 0 : (layer->pattern + 1) % 4;
    body.picture = ++layer->picture, layer->wire_picture++;
    body.temporal = pattern[step];
    body.references[0] = body.references[1] = keyframe ? body.picture : layer->base_picture;
    if (step == 3) body.references[0] = layer->mids[0], body.references[1] = layer->mids[1];
    if (step == 0) layer->base_picture = body.picture, layer->tl0++;
    if (step == 1) layer->mids[1] = body.picture;
    if (step == 2) layer->mids[0] = body.picture;
    return body;
}

static void send_frame(struct engine *engine, struct publisher *publisher, struct layer *layer, int keyframe, uint64_t now) {
    struct body body = next_frame(publisher, layer, keyframe);
    int size = frame_bytes(layer, keyframe, body.temporal), count = (size + MAX_PAYLOAD_BYTES - 1) / MAX_PAYLOAD_BYTES;
    body.count = (uint8_t)count;
    layer->frames++, layer->keyframes += (uint64_t)keyframe;
    for (int i = 0; i < count; i++) {
        if (publisher->tail - publisher->head == PACED) pace(engine, publisher, now, 1);
        publisher->paced[publisher->tail % PACED].layer = body.layer;
        struct kept *packet = &publisher->paced[publisher->tail++ % PACED].packet;
        int at = put_header(publisher, layer, packet->bytes, i == count - 1, 0);
        packet->length = at + (i + 1) * size / count - i * size / count;
        body.index = (uint8_t)i, body.counter = layer->counter++;
        body.lead = (uint16_t)put_vp8(layer, packet->bytes + at, &body, layer->pattern == 1 || layer->pattern == 2);
        at += DESCRIPTOR_BYTES + body.lead;
        if (packet->length < at + (int)sizeof body) packet->length = at + (int)sizeof body;
        packet->body_at = packet->length - (int)sizeof body;
        put_pattern(packet->bytes + at, packet->bytes + packet->body_at, body.counter);
        memcpy(packet->bytes + packet->body_at, &body, sizeof body);
    }
}

static void send_video(struct engine *engine, struct publisher *publisher, uint64_t now) {
    int keyframe = publisher->key_wanted > 1 || (publisher->key_wanted && now - publisher->keyed_at >= KEYFRAME_GAP);
    if (keyframe) publisher->key_wanted = 0, publisher->keyed_at = now;
    for (int i = 1; i < publisher->layers; i++) {
        struct layer *layer = &publisher->layer[i];
        layer->timestamp += 90000 / FRAMES_PER_SECOND;
        if (layer->active) send_frame(engine, publisher, layer, keyframe, now);
    }
}

/* SR of each stream that has sent, and SDES. */
static void send_reports(struct engine *engine, struct publisher *publisher, uint64_t now) {
    uint8_t data[512], *at = data;
    for (int i = 0; i < publisher->layers; i++) {
        struct layer *layer = &publisher->layer[i];
        if (!layer->packets) continue;
        put16(at, 0x8000u | SR), put16(at + 2, 6), put32(at + 4, layer->ssrc);
        put_ntp(at + 8, now);
        put32(at + 16, layer->timestamp), put32(at + 20, layer->packets), put32(at + 24, layer->octets);
        at += 28;
    }
    if (at == data) return;
    put16(at, 0x8100u | SDES), put16(at + 2, 3), put32(at + 4, publisher->layer[0].ssrc);
    memcpy(at + 8, "\1\5bench\0", 8);
    send_rtcp(engine, publisher->connection, data, (int)(at + 16 - data));
}

static void publish(struct engine *engine, struct publisher *publisher, uint64_t now) {
    if (publisher->layer[0].active && now >= publisher->audio_at) {
        publisher->layer[0].timestamp += publisher->talking ? 960 : 19200;
        send_audio(engine, publisher, now);
        publisher->audio_at += (publisher->talking ? 20 : 400) * MILLISECOND;
        if (now > publisher->audio_at + 100 * MILLISECOND) publisher->audio_at = now;
    }
    if (now >= publisher->video_at) {
        send_video(engine, publisher, now);
        publisher->video_at += SECOND / FRAMES_PER_SECOND;
        if (now > publisher->video_at + 100 * MILLISECOND) publisher->video_at = now;
    }
    pace(engine, publisher, now, 0);
    if (now < publisher->report_at) return;
    publisher->report_at = now + SECOND;
    send_reports(engine, publisher, now);
}

/* RTX (RFC 4588): the original number, then the original payload. */
static void repeat(struct engine *engine, struct publisher *publisher, struct layer *layer, uint16_t number) {
    struct kept *kept = layer->history ? &layer->history[number % HISTORY] : NULL;
    uint8_t packet[ROOM];
    if (!kept || !kept->length || get16(kept->bytes + 2) != number) return;
    int from = header_bytes(kept->bytes, kept->length), at = put_header(publisher, layer, packet, kept->bytes[1] >> 7, 1);
    memcpy(packet + 4, kept->bytes + 4, 4);
    put16(packet + 17, publisher->transport_sequence++), put16(packet + at, number);
    memcpy(packet + at + 2, kept->bytes + from, (size_t)(kept->length - from));
    layer->repeats++;
    send_rtp(engine, publisher->connection, packet, at + 2 + kept->length - from);
}

static void take_feedback(struct engine *engine, struct publisher *publisher, const uint8_t *data, int length) {
    int format = data[0] & 0x1F;
    struct layer *layer = NULL;
    if (data[1] == RR) publisher->reported = 1;
    if (length < 12) return;
    uint32_t media = data[1] == PSFB && format == 4 && length >= 20 ? get32(data + 12) : get32(data + 8);
    for (int i = 1; i < publisher->layers; i++)
        if (publisher->layer[i].ssrc == media) layer = &publisher->layer[i];
    if (!layer) return;
    if (data[1] == PSFB && (format == 1 || format == 4)) layer->requests++, publisher->key_wanted |= 1;
    if (data[1] != RTPFB || format != 1) return;
    for (int at = 12; at + 4 <= length; at += 4) {
        uint32_t number = get16(data + at), mask = get16(data + at + 2);
        repeat(engine, publisher, layer, (uint16_t)number);
        for (int i = 0; i < 16; i++)
            if (mask >> i & 1) repeat(engine, publisher, layer, (uint16_t)(number + 1u + (uint32_t)i));
    }
}
