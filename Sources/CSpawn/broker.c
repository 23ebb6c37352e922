/* The daemon's side of the broker pair: requests come with the socket to connect. */
#define _GNU_SOURCE
#include "worker_spawn.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Keeps the first descriptor of the message, closes all others. -1 if there is none. */
static int first_descriptor(struct msghdr *message) {
    int kept = -1;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t index = 0; index < count; index++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + index * sizeof fd, sizeof fd);
            if (kept < 0) {
                kept = fd;
            } else {
                close(fd);
            }
        }
    }
    return kept;
}

static int is_request(const rtw_broker_request *request) {
    return request->address_size <= sizeof request->address
        && memchr(request->host, 0, sizeof request->host) != NULL;
}

ssize_t rsp_broker_receive(int fd, rtw_broker_request *request, int *socket_fd) {
    /* CMSG_SPACE rounds up: there is room for two descriptors, and the kernel drops what does not fit. */
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = request, .iov_len = sizeof *request};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};

    *socket_fd = -1;
    ssize_t count;
    do {
        count = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    } while (count < 0 && errno == EINTR);
    if (count < 0) return -1;

    int received = first_descriptor(&message);
    if (count == 0 && received < 0) return 0;
    if (count != (ssize_t)sizeof *request || message.msg_flags & MSG_TRUNC || !is_request(request)) {
        if (received >= 0) close(received);
        errno = EBADMSG;
        return -1;
    }
    *socket_fd = received;
    return count;
}

int rsp_broker_answer(int fd, const rtw_broker_answer *answer) {
    ssize_t count;
    do {
        count = send(fd, answer, sizeof *answer, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (count < 0 && errno == EINTR);
    return count < 0 ? -1 : 0;
}
