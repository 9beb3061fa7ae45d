"""Datagrams of many sockets in one system call: a small io_uring (io_uring(7)), where the kernel has one and allows it.

`uring_open` makes the ring of the process and proves it with a datagram to itself: kernels before 6.1 know no address
in SEND, and containers often forbid io_uring. Then `uring_send` queues one datagram each, and `uring_run` sends all
that are queued; they are done when it returns, for nothing may wait (MSG_DONTWAIT).
"""

from libc.stdint cimport int32_t, uint32_t


cdef extern from * nogil:
    """
    #include <errno.h>
    #include <netinet/in.h>
    #include <stdint.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <sys/socket.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    #define URING_ENTRIES 64

    #if defined(__NR_io_uring_setup) && __has_include(<linux/io_uring.h>)
    #include <linux/io_uring.h>
    #ifndef IORING_SETUP_SUBMIT_ALL
    #define IORING_SETUP_SUBMIT_ALL (1U << 7)
    #endif

    static struct {
        int fd;
        uint32_t queued;
        uint32_t *sq_tail, *sq_mask, *cq_head, *cq_tail, *cq_mask;
        struct io_uring_sqe *sqes;
        struct io_uring_cqe *cqes;
    } uring = {.fd = -1};

    static void uring_close(void) {
        close(uring.fd);        /* the mappings, a few pages, stay until the process ends */
        uring.fd = -1;
    }

    /* Queues a datagram; `tag` is where its result will be. At most URING_ENTRIES between two runs. */
    static inline void uring_send(
            int fd, const void *data, uint32_t length, const void *name, uint16_t name_size, uint32_t tag) {
        struct io_uring_sqe *sqe = &uring.sqes[(*uring.sq_tail + uring.queued++) & *uring.sq_mask];
        memset(sqe, 0, sizeof *sqe);
        sqe->opcode = IORING_OP_SEND;
        sqe->fd = fd;
        sqe->addr = (uintptr_t)data;
        sqe->len = length;
        sqe->msg_flags = MSG_DONTWAIT;
        sqe->off = (uintptr_t)name;                 /* addr2 in newer headers */
        memcpy(&sqe->splice_fd_in, &name_size, 2);  /* addr_len */
        sqe->user_data = tag;
    }

    /* Sends what is queued; `results` get what sendto would return, or a negative errno. False: the ring is closed. */
    static int uring_run(int32_t *results) {
        uint32_t count = uring.queued, done = 0, head;
        uring.queued = 0;
        __atomic_store_n(uring.sq_tail, *uring.sq_tail + count, __ATOMIC_RELEASE);
        long submitted = syscall(__NR_io_uring_enter, uring.fd, count, count, IORING_ENTER_GETEVENTS, NULL, 0);
        for (head = *uring.cq_head; head != __atomic_load_n(uring.cq_tail, __ATOMIC_ACQUIRE); head++, done++) {
            const struct io_uring_cqe *cqe = &uring.cqes[head & *uring.cq_mask];
            results[cqe->user_data] = cqe->res;
        }
        __atomic_store_n(uring.cq_head, head, __ATOMIC_RELEASE);
        if (submitted == (long)count && done == count) return 1;
        uring_close();                              /* never seen; what has no result is sent in the ordinary way */
        return 0;
    }

    static int uring_map(const struct io_uring_params *p) {
        size_t ring_bytes = p->sq_off.array + p->sq_entries * sizeof(uint32_t);
        size_t cq_bytes = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
        if (cq_bytes > ring_bytes) ring_bytes = cq_bytes;
        int access = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
        uint8_t *ring = mmap(NULL, ring_bytes, access, flags, uring.fd, IORING_OFF_SQ_RING);
        void *sqes = mmap(NULL, p->sq_entries * sizeof(struct io_uring_sqe), access, flags, uring.fd, IORING_OFF_SQES);
        if (ring == MAP_FAILED || sqes == MAP_FAILED) return 0;
        uint32_t *array = (uint32_t *)(ring + p->sq_off.array);
        for (uint32_t i = 0; i < p->sq_entries; i++) array[i] = i;
        uring.sq_tail = (uint32_t *)(ring + p->sq_off.tail);
        uring.sq_mask = (uint32_t *)(ring + p->sq_off.ring_mask);
        uring.cq_head = (uint32_t *)(ring + p->cq_off.head);
        uring.cq_tail = (uint32_t *)(ring + p->cq_off.tail);
        uring.cq_mask = (uint32_t *)(ring + p->cq_off.ring_mask);
        uring.cqes = (struct io_uring_cqe *)(ring + p->cq_off.cqes);
        uring.sqes = sqes;
        return 1;
    }

    /* Whether a datagram arrives as it was sent. */
    static int uring_proves(void) {
        struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof name;
        char got[8] = "";
        int32_t result = -1;
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        int right = fd >= 0 && bind(fd, (struct sockaddr *)&name, size) == 0
                    && getsockname(fd, (struct sockaddr *)&name, &size) == 0;
        if (right) {
            uring_send(fd, "proof", 5, &name, sizeof name, 0);
            right = uring_run(&result) && result == 5 && recv(fd, got, sizeof got, MSG_DONTWAIT) == 5
                    && memcmp(got, "proof", 5) == 0;
        }
        if (fd >= 0) close(fd);
        return right;
    }

    /* Opens the ring unless it is open; whether there is one. */
    static int uring_open(void) {
        struct io_uring_params p;
        if (uring.fd >= 0) return 1;
        memset(&p, 0, sizeof p);
        p.flags = IORING_SETUP_SUBMIT_ALL;
        uring.fd = (int)syscall(__NR_io_uring_setup, URING_ENTRIES, &p);
        if (uring.fd < 0) return 0;
        if ((p.features & IORING_FEAT_SINGLE_MMAP) && uring_map(&p) && uring_proves()) return 1;
        if (uring.fd >= 0) uring_close();
        return 0;
    }
    #else
    static void uring_send(int fd, const void *data, uint32_t length, const void *name, uint16_t size, uint32_t tag) {}
    static int uring_run(int32_t *results) { return 0; }
    static int uring_open(void) { return 0; }
    #endif
    """
    enum:
        URING_ENTRIES
    bint uring_open()
    void uring_send(int fd, const void *data, uint32_t length, const void *name, unsigned short size, uint32_t tag)
    bint uring_run(int32_t *results)
