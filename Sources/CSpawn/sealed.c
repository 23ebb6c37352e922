/* Sealed copies: what a worker reads cannot change under it, nor be the door to what it may not read. */
#define _GNU_SOURCE
#include "worker_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u /* Linux 6.3 */
#endif

static int close_keeping_errno(int fd) {
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int unsealed(const char *name) {
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd;
}

static int sealed(int fd) {
    if (lseek(fd, 0, SEEK_SET) != 0) return close_keeping_errno(fd);
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        return close_keeping_errno(fd);
    }
    return fd;
}

int rsp_sealed_copy(int source_fd, uint64_t max_bytes, const char *name) {
    struct stat source;
    if (fstat(source_fd, &source) != 0) return -1;
    if (!S_ISREG(source.st_mode)) {
        errno = EINVAL;
        return -1;
    }
    int fd = unsealed(name);
    if (fd < 0) return -1;

    /* The size that fstat told may be out of date; what counts is where the reading ends. */
    const size_t step = 1u << 30;
    uint64_t copied = 0;
    off_t offset = 0;
    for (;;) {
        uint64_t room = max_bytes - copied;
        ssize_t count = sendfile(fd, source_fd, &offset, room < step ? (size_t)room + 1 : step);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return close_keeping_errno(fd);
        if (count == 0) return sealed(fd);
        copied += (uint64_t)count;
        if (copied > max_bytes) {
            errno = EFBIG;
            return close_keeping_errno(fd);
        }
    }
}

int rsp_sealed_bytes(const void *bytes, size_t size, const char *name) {
    int fd = unsealed(name);
    if (fd < 0) return -1;
    for (size_t written = 0; written < size;) {
        ssize_t count = write(fd, (const char *)bytes + written, size - written);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return close_keeping_errno(fd);
        written += (size_t)count;
    }
    return sealed(fd);
}
