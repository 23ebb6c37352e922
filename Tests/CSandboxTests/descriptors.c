/* Calls that Swift does not see: variadic ones, newer ones, and macros. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test_support.h"

int handle_of_process(pid_t pid) {
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

int memfd_of(const void *bytes, size_t size) {
    int fd = memfd_create("test", MFD_CLOEXEC);
    if (fd < 0 || write(fd, bytes, size) == (ssize_t)size) return fd;
    close(fd);
    return -1;
}

int seals_of(int fd) {
    return fcntl(fd, F_GET_SEALS);
}

ssize_t send_with_descriptors(int fd, const void *bytes, size_t size, const int *descriptors, size_t count) {
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(16 * sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0 && count <= 16) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(rights), descriptors, count * sizeof(int));
    }
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}
