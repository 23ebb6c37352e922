/*
 * open and open64, exported so that a plugin's libraries use them instead of libc's.
 *
 * libdispatch opens /proc/TID/stat of its own threads once a second and ends the process if it cannot. The sandbox lets
 * only /proc/self be read, so exactly that path is turned into /proc/self/task/TID/stat, which is the same file.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

/* The path that can be opened in place of `path`: itself, or the thread's, written to `own`. */
static const char *readable_path(const char *path, char *own, size_t size) {
    const char prefix[] = "/proc/";
    if (strncmp(path, prefix, sizeof prefix - 1) != 0) return path;
    const char *number = path + sizeof prefix - 1;
    size_t digits = strspn(number, "0123456789");
    if (digits == 0 || digits > 10 || strcmp(number + digits, "/stat") != 0) return path;
    snprintf(own, size, "/proc/self/task/%.*s/stat", (int)digits, number);
    return own;
}

static int open_readable(const char *path, int flags, va_list arguments) {
    char own[48];
    mode_t mode = 0;
    if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) mode = va_arg(arguments, mode_t);
    return openat(AT_FDCWD, readable_path(path, own, sizeof own), flags, mode);
}

EXPORT int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    int fd = open_readable(path, flags, arguments);
    va_end(arguments);
    return fd;
}

EXPORT int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    int fd = open_readable(path, flags | O_LARGEFILE, arguments);
    va_end(arguments);
    return fd;
}
