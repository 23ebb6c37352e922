/* The pairs between daemon and worker, and questions about a socket. */
#define _GNU_SOURCE
#include "worker_spawn.h"

#include <netinet/in.h>
#include <sys/socket.h>

int rsp_socketpair(int type, int fds[2]) {
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) != 0) return -1;
    if (type == SOCK_STREAM) {
        int size = 1 << 20;
        for (int end = 0; end < 2; end++) {
            /* FORCE needs CAP_NET_ADMIN; without it the system's wmem_max is the limit, which costs speed only. */
            if (setsockopt(fds[end], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0) {
                (void)setsockopt(fds[end], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
            }
        }
    }
    return 0;
}

static int option(int fd, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

int rsp_is_tcp_stream(int fd) {
    int domain = option(fd, SO_DOMAIN);
    return (domain == AF_INET || domain == AF_INET6) && option(fd, SO_TYPE) == SOCK_STREAM
        && option(fd, SO_PROTOCOL) == IPPROTO_TCP;
}

int rsp_peer_uid(int fd, uid_t *uid) {
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return -1;
    *uid = peer.uid;
    return 0;
}
