"""The parts of Linux' socket interface that `udp.pyx` uses and Cython's own declarations lack."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t


cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    cdef struct iovec:
        void *iov_base
        size_t iov_len
    cdef struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    cdef struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    cdef struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    cdef struct timespec
    cmsghdr *CMSG_FIRSTHDR(msghdr *message)
    cmsghdr *CMSG_NXTHDR(msghdr *message, cmsghdr *control)
    void *CMSG_DATA(cmsghdr *control)
    size_t CMSG_LEN(size_t length)
    size_t CMSG_SPACE(size_t length)
    int recvmmsg(int fd, mmsghdr *messages, unsigned int count, int flags, timespec *timeout)
    int sendmmsg(int fd, mmsghdr *messages, unsigned int count, int flags)
    ssize_t recvmsg(int fd, msghdr *message, int flags)
    ssize_t sendto(int fd, const void *data, size_t length, int flags, const sockaddr *to, socklen_t size)
    int socket(int domain, int kind, int protocol)
    int bind(int fd, const sockaddr *address, socklen_t size)
    int getsockname(int fd, sockaddr *address, socklen_t *size)
    int setsockopt(int fd, int level, int option, const void *value, socklen_t size)
    cdef struct sockaddr:
        pass
    enum:
        AF_INET
        AF_INET6
        MSG_DONTWAIT
        MSG_ERRQUEUE
        MSG_TRUNC
        SOCK_CLOEXEC
        SOCK_DGRAM
        SOCK_NONBLOCK
        SOL_SOCKET
        SO_RCVBUF
        SO_RCVBUFFORCE
        SO_RXQ_OVFL
        SO_SNDBUF
        SO_SNDBUFFORCE
        SO_TIMESTAMPNS

cdef extern from "<netinet/in.h>" nogil:
    cdef struct in_addr:
        uint32_t s_addr
    cdef struct sockaddr_in:
        uint16_t sin_family
        uint16_t sin_port
        in_addr sin_addr
    cdef struct in6_addr:
        uint8_t s6_addr[16]
    cdef struct sockaddr_in6:
        uint16_t sin6_family
        uint16_t sin6_port
        in6_addr sin6_addr
    cdef struct in_pktinfo:
        int ipi_ifindex
        in_addr ipi_spec_dst
        in_addr ipi_addr
    cdef struct in6_pktinfo:
        in6_addr ipi6_addr
        unsigned int ipi6_ifindex
    uint32_t htonl(uint32_t value)
    uint16_t htons(uint16_t value)
    uint16_t ntohs(uint16_t value)
    enum:
        INET6_ADDRSTRLEN
        IPPROTO_IP
        IPPROTO_IPV6
        IPV6_DONTFRAG
        IPV6_MTU_DISCOVER
        IPV6_PKTINFO
        IPV6_PMTUDISC_DONT
        IPV6_PMTUDISC_PROBE
        IPV6_RECVERR
        IPV6_RECVPKTINFO
        IPV6_V6ONLY
        IP_MTU_DISCOVER
        IP_PKTINFO
        IP_PMTUDISC_OMIT
        IP_PMTUDISC_PROBE
        IP_RECVERR

cdef extern from "<arpa/inet.h>" nogil:
    int inet_pton(int family, const char *text, void *address)
    const char *inet_ntop(int family, const void *address, char *text, socklen_t size)

cdef extern from "<netinet/udp.h>" nogil:
    enum:
        SOL_UDP

cdef extern from * nogil:
    """
    #ifndef UDP_SEGMENT
    #define UDP_SEGMENT 103
    #endif
    #ifndef UDP_GRO
    #define UDP_GRO 104
    #endif
    """
    enum:
        UDP_SEGMENT
        UDP_GRO

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        void *ptr
    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int poller, int operation, int fd, epoll_event *event)
    int epoll_wait(int poller, epoll_event *events, int count, int timeout)
    enum:
        EPOLLERR
        EPOLLIN
        EPOLLOUT
        EPOLL_CLOEXEC
        EPOLL_CTL_ADD
        EPOLL_CTL_MOD

cdef extern from "<linux/errqueue.h>" nogil:
    cdef struct sock_extended_err:
        uint32_t ee_errno
        uint8_t ee_origin
        uint8_t ee_type
        uint8_t ee_code
        uint32_t ee_info
    enum:
        SO_EE_ORIGIN_ICMP
        SO_EE_ORIGIN_ICMP6

cdef extern from "<unistd.h>" nogil:
    int close(int fd)
