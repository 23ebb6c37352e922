/* Attacks on files: reading what is not listed, changing anything. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include "attacks.h"

/* The path of a name in the surroundings' directory; good until the next call but one. */
static const char *in(const probe_surroundings *s, const char *name) {
    static char paths[2][192];
    static int turn;
    turn = !turn;
    snprintf(paths[turn], sizeof paths[turn], "%s/%s", s->directory, name);
    return paths[turn];
}

static int opens(const char *path, int flags) {
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0600);
    return fd < 0 ? -1 : close(fd);
}

ATTACK(read_secret) { return opens(in(s, "file"), O_RDONLY); }
ATTACK(read_secret_by_libc) { return open(in(s, "file"), O_RDONLY) < 0 ? -1 : 0; }
ATTACK(read_secret_by_old_call) {
#ifdef SYS_open
    return syscall(SYS_open, in(s, "file"), O_RDONLY) < 0 ? -1 : 0;
#else
    return read_secret(s);
#endif
}
ATTACK(list_directory) { return opens(s->directory, O_RDONLY | O_DIRECTORY); }
ATTACK(read_users) { UNUSED; return opens("/etc/passwd", O_RDONLY); }
ATTACK(read_shadow) { UNUSED; return opens("/etc/shadow", O_RDONLY); }
ATTACK(read_groups) { UNUSED; return opens("/etc/group", O_RDONLY); }
ATTACK(read_kernel_setting) { UNUSED; return opens("/proc/sys/kernel/hostname", O_RDONLY); }
ATTACK(read_kernel_symbols) { UNUSED; return opens("/proc/kallsyms", O_RDONLY); }
ATTACK(list_processes) { UNUSED; return opens("/proc", O_RDONLY | O_DIRECTORY); }
ATTACK(read_by_own_root) { UNUSED; return opens("/proc/self/root/etc/passwd", O_RDONLY); }

ATTACK(read_by_path_descriptor) {
    int fd = (int)syscall(SYS_openat, AT_FDCWD, in(s, "file"), O_PATH);
    if (fd < 0) return -1;
    char again[32];
    snprintf(again, sizeof again, "/proc/self/fd/%d", fd);
    return opens(again, O_RDONLY);
}

ATTACK(read_by_openat2) {
    struct open_how how = {.flags = O_RDONLY};
    return syscall(SYS_openat2, AT_FDCWD, in(s, "file"), &how, sizeof how) < 0 ? -1 : 0;
}

ATTACK(read_by_handle) {
    struct {
        struct file_handle head;
        unsigned char space[128];
    } handle;
    memset(&handle, 0, sizeof handle);
    handle.head.handle_bytes = sizeof handle.space;
    int mount;
    return (int)syscall(SYS_name_to_handle_at, AT_FDCWD, in(s, "file"), &handle, &mount, 0);
}

ATTACK(open_by_handle) {
    UNUSED;
    struct {
        struct file_handle head;
        unsigned char space[128];
    } handle;
    memset(&handle, 0, sizeof handle);
    return syscall(SYS_open_by_handle_at, AT_FDCWD, &handle, O_RDONLY) < 0 && errno != EINVAL ? -1 : 0;
}

ATTACK(write_file) { return opens(in(s, "file"), O_WRONLY); }
ATTACK(read_write_file) { return opens(in(s, "file"), O_RDWR); }
ATTACK(append_to_file) { return opens(in(s, "file"), O_WRONLY | O_APPEND); }
ATTACK(truncate_by_open) { return opens(in(s, "file"), O_RDONLY | O_TRUNC); }
ATTACK(create_file) { return opens(in(s, "new"), O_RDONLY | O_CREAT); }
ATTACK(create_nameless_file) { return opens(s->directory, O_RDWR | O_TMPFILE); }
ATTACK(write_device) { UNUSED; return opens("/dev/null", O_WRONLY); }
ATTACK(write_own_process) { UNUSED; return opens("/proc/self/comm", O_WRONLY); }
ATTACK(write_own_memory) { UNUSED; return opens("/proc/self/mem", O_RDWR); }
ATTACK(open_terminal) { UNUSED; return opens("/dev/ptmx", O_RDONLY | O_NOCTTY); }
ATTACK(truncate_file) { return truncate(in(s, "file"), 0); }
ATTACK(truncate_descriptor) { return (int)syscall(SYS_ftruncate, open(in(s, "file"), O_WRONLY), 0); }
ATTACK(remove_file) { return unlink(in(s, "file")); }
ATTACK(remove_file_at) { return unlinkat(AT_FDCWD, in(s, "file"), 0); }
ATTACK(rename_file) { return rename(in(s, "file"), in(s, "other")); }
ATTACK(rename_file_at) { return (int)syscall(SYS_renameat2, AT_FDCWD, in(s, "file"), AT_FDCWD, in(s, "other"), 0); }
ATTACK(link_file) { return link(in(s, "file"), in(s, "other")); }
ATTACK(make_symbolic_link) { return symlink("/etc", in(s, "other")); }
ATTACK(make_directory) { return mkdir(in(s, "other"), 0700); }
ATTACK(remove_directory) { return rmdir(in(s, "empty")); }
ATTACK(make_pipe) { return mknod(in(s, "other"), S_IFIFO | 0600, 0); }
ATTACK(change_mode) { return chmod(in(s, "file"), 0600); }
ATTACK(change_mode_by_new_call) { return (int)syscall(452, AT_FDCWD, in(s, "file"), 0600, 0); }
ATTACK(change_owner) { return chown(in(s, "file"), 1, 1); }
ATTACK(change_times) { return utimensat(AT_FDCWD, in(s, "file"), NULL, 0); }
ATTACK(change_times_the_old_way) { return utime(in(s, "file"), NULL); }
ATTACK(set_attribute) { return setxattr(in(s, "file"), "user.probe", "1", 1, 0); }
ATTACK(remove_attribute) { return (int)removexattr(in(s, "file"), "user.none") == 0 || errno == ENODATA ? 0 : -1; }
ATTACK(change_working_directory) { return chdir(s->directory); }

ATTACK(watch_directory) {
    int fd = inotify_init1(0);
    return fd < 0 || inotify_add_watch(fd, s->directory, IN_ALL_EVENTS) < 0 ? -1 : 0;
}

ATTACK(watch_file_system) { UNUSED; return fanotify_init(FAN_CLASS_NOTIF, 0) < 0 ? -1 : 0; }

/* Landlock does not cover metadata: what a file is called, how large it is, whose. */
ATTACK(see_metadata) {
    struct stat status;
    return stat(in(s, "file"), &status);
}

const attack file_attacks[] = {
    {"read a file", read_secret},
    {"read a file by libc", read_secret_by_libc},
    {"read a file by the old call", read_secret_by_old_call},
    {"list a directory", list_directory},
    {"read the users", read_users},
    {"read the shadow file", read_shadow},
    {"read the groups", read_groups},
    {"read a kernel setting", read_kernel_setting},
    {"read kernel symbols", read_kernel_symbols},
    {"list processes", list_processes},
    {"read by its own root link", read_by_own_root},
    {"read by a path descriptor", read_by_path_descriptor},
    {"read by openat2", read_by_openat2},
    {"get a file's handle", read_by_handle},
    {"open by handle", open_by_handle},
    {"write a file", write_file},
    {"open a file for both", read_write_file},
    {"append to a file", append_to_file},
    {"truncate while opening", truncate_by_open},
    {"create a file", create_file},
    {"create a nameless file", create_nameless_file},
    {"write a device", write_device},
    {"write its own process entry", write_own_process},
    {"write its own memory file", write_own_memory},
    {"open a terminal", open_terminal},
    {"truncate a file", truncate_file},
    {"truncate a descriptor", truncate_descriptor},
    {"remove a file", remove_file},
    {"remove a file at", remove_file_at},
    {"rename a file", rename_file},
    {"rename a file at", rename_file_at},
    {"link a file", link_file},
    {"make a symbolic link", make_symbolic_link},
    {"make a directory", make_directory},
    {"remove a directory", remove_directory},
    {"make a named pipe", make_pipe},
    {"change a mode", change_mode},
    {"change a mode by the new call", change_mode_by_new_call},
    {"change an owner", change_owner},
    {"change times", change_times},
    {"change times the old way", change_times_the_old_way},
    {"set an attribute", set_attribute},
    {"remove an attribute", remove_attribute},
    {"change the working directory", change_working_directory},
    {"watch a directory", watch_directory},
    {"watch a file system", watch_file_system},
    {"see metadata", see_metadata},
    {NULL, NULL}};
