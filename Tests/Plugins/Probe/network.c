/* Attacks on the network and on other sockets. */
#define _GNU_SOURCE
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "attacks.h"

#define MULTIPATH_TCP 262 /* IPPROTO_MPTCP */

static struct sockaddr_in local(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/* Past the exported connect, which the broker answers. */
static int connects(int fd, const void *address, socklen_t size) {
    return fd < 0 ? -1 : (int)syscall(SYS_connect, fd, address, size);
}

static int made(int fd) {
    return fd < 0 ? -1 : close(fd);
}

ATTACK(connect_tcp) {
    struct sockaddr_in address = local(s->tcp_port);
    return connects(socket(AF_INET, SOCK_STREAM, 0), &address, sizeof address);
}

ATTACK(connect_multipath) {
    struct sockaddr_in address = local(s->tcp_port);
    return connects(socket(AF_INET, SOCK_STREAM, MULTIPATH_TCP), &address, sizeof address);
}

ATTACK(fast_open_sendto) {
    struct sockaddr_in address = local(s->tcp_port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&address, sizeof address) == 1 ? 0 : -1;
}

static struct msghdr fast_open_message(struct sockaddr_in *address, struct iovec *part) {
    *part = (struct iovec){(void *)(uintptr_t)"x", 1};
    return (struct msghdr){.msg_name = address, .msg_namelen = sizeof *address, .msg_iov = part, .msg_iovlen = 1};
}

ATTACK(fast_open_sendmsg) {
    struct sockaddr_in address = local(s->tcp_port);
    struct iovec part;
    struct msghdr message = fast_open_message(&address, &part);
    return sendmsg(socket(AF_INET, SOCK_STREAM, 0), &message, MSG_FASTOPEN) == 1 ? 0 : -1;
}

ATTACK(fast_open_sendmmsg) {
    struct sockaddr_in address = local(s->tcp_port);
    struct iovec part;
    struct mmsghdr message = {.msg_hdr = fast_open_message(&address, &part)};
    return sendmmsg(socket(AF_INET, SOCK_STREAM, 0), &message, 1, MSG_FASTOPEN) == 1 ? 0 : -1;
}

static int sets(int fd, int level, int option, const void *value, socklen_t size) {
    return fd < 0 ? -1 : setsockopt(fd, level, option, value, size);
}

ATTACK(fast_open_by_option) {
    UNUSED;
    int on = 1;
    return sets(socket(AF_INET, SOCK_STREAM, 0), IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on);
}

/* Loose source route by way of 127.0.0.1: the first packet would go there, whatever address the broker approved. */
ATTACK(route_by_option) {
    UNUSED;
    const unsigned char route[] = {1, 131, 7, 4, 127, 0, 0, 1};
    return sets(socket(AF_INET, SOCK_STREAM, 0), IPPROTO_IP, IP_OPTIONS, route, sizeof route);
}

/* The same with a segment routing header by way of ::1. */
ATTACK(route_by_header) {
    UNUSED;
    const unsigned char route[40] = {0, 4, 4, 1, 1, 0, 0, 0, [23] = 1, [39] = 1};
    return sets(socket(AF_INET6, SOCK_STREAM, 0), IPPROTO_IPV6, IPV6_RTHDR, route, sizeof route);
}

ATTACK(bind_to_device) {
    UNUSED;
    return sets(socket(AF_INET, SOCK_STREAM, 0), SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
}

ATTACK(share_port) {
    UNUSED;
    int on = 1;
    return sets(socket(AF_INET, SOCK_STREAM, 0), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
}

ATTACK(bind_tcp) {
    UNUSED;
    struct sockaddr_in address = local(0);
    return bind(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address);
}

ATTACK(listen_without_bind) { UNUSED; return listen(socket(AF_INET, SOCK_STREAM, 0), 1); }

ATTACK(accept_connection) {
    UNUSED;
    int result = accept(socket(AF_INET, SOCK_STREAM, 0), NULL, NULL);
    return result < 0 && errno != EINVAL ? -1 : 0; /* EINVAL: it does not listen, but it was asked */
}

ATTACK(send_datagram) {
    struct sockaddr_in address = local(s->udp_port);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0) return -1;
    return sendto(fd, "x", 1, 0, (struct sockaddr *)&address, sizeof address) == 1 ? 0 : -1;
}

ATTACK(open_datagram_socket) { UNUSED; return made(socket(AF_INET6, SOCK_DGRAM, 0)); }
ATTACK(open_udp_lite_socket) { UNUSED; return made(socket(AF_INET, SOCK_DGRAM, 136)); }
ATTACK(open_raw_socket) { UNUSED; return made(socket(AF_INET, SOCK_RAW, IPPROTO_TCP)); }
ATTACK(open_ping_socket) { UNUSED; return made(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)); }
ATTACK(open_packet_socket) { UNUSED; return made(socket(AF_PACKET, SOCK_RAW, 0)); }
ATTACK(open_netlink_socket) { UNUSED; return made(socket(AF_NETLINK, SOCK_RAW, 0)); }
ATTACK(open_vsock) { UNUSED; return made(socket(AF_VSOCK, SOCK_STREAM, 0)); }
ATTACK(open_crypto_socket) { UNUSED; return made(socket(AF_ALG, SOCK_SEQPACKET, 0)); }

static socklen_t named(struct sockaddr_un *address, const probe_surroundings *s, const char *name) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    snprintf(address->sun_path, sizeof address->sun_path, "%.90s/%s", s->directory, name);
    return sizeof *address;
}

ATTACK(connect_unix_stream) {
    struct sockaddr_un address;
    socklen_t size = named(&address, s, "stream");
    return connects(socket(AF_UNIX, SOCK_STREAM, 0), &address, size);
}

ATTACK(connect_abstract) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path + 1, s->abstract, sizeof address.sun_path - 2);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(s->abstract));
    return connects(socket(AF_UNIX, SOCK_STREAM, 0), &address, size);
}

ATTACK(send_unix_datagram) {
    struct sockaddr_un address;
    socklen_t size = named(&address, s, "datagram");
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd < 0) return -1;
    return sendto(fd, "x", 1, 0, (struct sockaddr *)&address, size) == 1 ? 0 : -1;
}

/* One end of a datagram pair can be pointed at any socket with a path. */
static int send_from_pair(const probe_surroundings *s, int type) {
    int pair[2];
    if (socketpair(AF_UNIX, type, 0, pair) != 0) return -1;
    struct sockaddr_un address;
    socklen_t size = named(&address, s, "datagram");
    return sendto(pair[0], "x", 1, 0, (struct sockaddr *)&address, size) == 1 ? 0 : -1;
}

ATTACK(send_from_datagram_pair) { return send_from_pair(s, SOCK_DGRAM); }
ATTACK(open_packet_pair) { return send_from_pair(s, SOCK_SEQPACKET); }

ATTACK(list_interfaces) {
    UNUSED;
    char space[1024];
    struct ifconf list = {.ifc_len = sizeof space, .ifc_buf = space};
    return ioctl(socket(AF_INET, SOCK_STREAM, 0), SIOCGIFCONF, &list);
}

const attack network_attacks[] = {
    {"connect by TCP", connect_tcp},
    {"connect by multipath TCP", connect_multipath},
    {"fast open by sendto", fast_open_sendto},
    {"fast open by sendmsg", fast_open_sendmsg},
    {"fast open by sendmmsg", fast_open_sendmmsg},
    {"fast open by an option", fast_open_by_option},
    {"source route", route_by_option},
    {"routing header", route_by_header},
    {"bind to a device", bind_to_device},
    {"share a port", share_port},
    {"bind a port", bind_tcp},
    {"listen without bind", listen_without_bind},
    {"accept a connection", accept_connection},
    {"send by UDP", send_datagram},
    {"open a UDP socket", open_datagram_socket},
    {"open a UDP-Lite socket", open_udp_lite_socket},
    {"open a raw socket", open_raw_socket},
    {"open a ping socket", open_ping_socket},
    {"open a packet socket", open_packet_socket},
    {"open a netlink socket", open_netlink_socket},
    {"open a virtual machine socket", open_vsock},
    {"open a crypto socket", open_crypto_socket},
    {"connect to a UNIX socket", connect_unix_stream},
    {"connect to an abstract UNIX socket", connect_abstract},
    {"send to a UNIX socket", send_unix_datagram},
    {"send from a datagram pair", send_from_datagram_pair},
    {"open a packet pair", open_packet_pair},
    {"list interfaces", list_interfaces},
    {NULL, NULL}};
