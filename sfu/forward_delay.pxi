# The delay filter of forward_feedback.pxi: does the delay grow?


cdef void join_group(path_t *path, int64_t sent, int64_t arrival) noexcept nogil:
    """Puts a packet into the burst it was sent in; a new burst closes the one before."""
    cdef group_t *g = &path.group
    cdef int64_t arrived
    if path.has_group:
        if sent < g.first_sent:
            return                  # reordered
        arrived = arrival - g.last_arrival
        if (
            sent == g.last_sent or sent - g.first_sent <= BURST_US
            or (arrived < sent - g.last_sent and arrived <= BURST_US and arrival - g.first_arrival < MAX_BURST_US)
        ):
            g.last_sent = max(g.last_sent, sent)
            g.last_arrival = max(g.last_arrival, arrival)
            return
        if path.has_previous:
            add_delta(path, g.last_sent - path.previous.last_sent, g.last_arrival - path.previous.last_arrival)
        path.previous = g[0]
        path.has_previous = True
    path.has_group = True
    g.first_sent = g.last_sent = sent
    g.first_arrival = g.last_arrival = arrival


cdef void restart_filter(path_t *path) noexcept nogil:
    path.has_group = path.has_previous = False
    path.deltas = path.fit_count = 0
    path.accumulated_ms = path.smoothed_ms = path.trend = path.over_ms = 0
    path.over_count = 0
    path.threshold = 12.5
    path.threshold_at = 0
    path.use = USE_NORMAL


cdef void add_delta(path_t *path, int64_t sent, int64_t arrived) noexcept nogil:
    """One pair of bursts: how much later the second arrived than it was sent later."""
    cdef double delta = (arrived - sent) / 1000.0
    cdef double trend
    cdef int64_t at = path.group.last_arrival
    if not -MAX_DELTA_US < arrived - sent < MAX_DELTA_US or sent < 0:
        restart_filter(path)
        return
    if path.deltas == 0:
        path.fit_from = at
    path.deltas = min(path.deltas + 1, <uint32_t>1000)
    path.accumulated_ms += delta
    path.smoothed_ms = 0.9 * path.smoothed_ms + 0.1 * path.accumulated_ms
    path.fit_time[path.fit_count % FIT] = (at - path.fit_from) / 1000.0
    path.fit_delay[path.fit_count % FIT] = path.smoothed_ms
    path.fit_count += 1
    trend = fit(path) if path.fit_count >= FIT else path.trend
    detect(path, trend, sent / 1000.0, at)


cdef double fit(path_t *path) noexcept nogil:
    """The slope of the least-squares line through the smoothed delays."""
    cdef double mean_time = 0, mean_delay = 0, above = 0, below = 0, x
    cdef int i
    for i in range(FIT):
        mean_time += path.fit_time[i]
        mean_delay += path.fit_delay[i]
    mean_time /= FIT
    mean_delay /= FIT
    for i in range(FIT):
        x = path.fit_time[i] - mean_time
        above += x * (path.fit_delay[i] - mean_delay)
        below += x * x
    return above / below if below > 0 else 0.0


cdef void detect(path_t *path, double trend, double sent_ms, int64_t at) noexcept nogil:
    """draft-ietf-rmcat-gcc-02 §5.4: over-use is a trend above the threshold for 10 ms that does not fall."""
    cdef double modified = min(path.deltas, <uint32_t>60) * trend * 4.0
    if path.deltas < 2:
        path.use = USE_NORMAL
        return
    if modified > path.threshold:
        path.over_ms = path.over_ms + sent_ms if path.over_count else sent_ms / 2
        path.over_count += 1
        if path.over_ms > 10.0 and path.over_count > 1 and trend >= path.trend:
            begin_over(path)
    else:
        path.over_ms = 0
        path.over_count = 0
        path.use = USE_UNDER if modified < -path.threshold else USE_NORMAL
    path.trend = trend
    adapt_threshold(path, modified, at)


cdef inline void begin_over(path_t *path) noexcept nogil:
    path.over_ms = 0
    path.over_count = 0
    path.use = USE_OVER
    path.overused = True


cdef void adapt_threshold(path_t *path, double modified, int64_t at) noexcept nogil:
    cdef double size = modified if modified >= 0 else -modified
    cdef double passed
    if path.threshold_at == 0:
        path.threshold_at = at
    if size <= path.threshold + 15.0:
        passed = min(max(at - path.threshold_at, <int64_t>0) / 1000.0, 100.0)
        path.threshold += (0.039 if size < path.threshold else 0.0087) * (size - path.threshold) * passed
        path.threshold = min(max(path.threshold, 6.0), 600.0)
    path.threshold_at = at
