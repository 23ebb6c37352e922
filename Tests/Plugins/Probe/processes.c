/* Attacks on other processes, and ways to become one. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attacks.h"

#define PEER_PIDFD 77 /* SO_PEERPIDFD, Linux 6.5 */

/* A child that came to be ends at once; the attack has hit. */
static int hit_if_child(long child) {
    if (child < 0) return -1;
    if (child == 0) _exit(0);
    waitpid((pid_t)child, NULL, 0);
    return 0;
}

ATTACK(execute) {
    UNUSED;
    char *const arguments[] = {(char[]){"true"}, NULL};
    return execv("/bin/true", arguments); /* where it hits, the status 0 of /bin/true says so */
}

ATTACK(execute_at) {
    UNUSED;
    char *const arguments[] = {(char[]){"true"}, NULL};
    return (int)syscall(SYS_execveat, AT_FDCWD, "/bin/true", arguments, NULL, 0);
}

ATTACK(spawn) {
    UNUSED;
    char *const arguments[] = {(char[]){"true"}, NULL};
    pid_t child;
    errno = posix_spawn(&child, "/bin/true", NULL, NULL, arguments, NULL);
    return errno == 0 ? hit_if_child(child) : -1;
}

ATTACK(fork_process) {
    UNUSED;
    return hit_if_child(fork());
}

ATTACK(clone_process) {
    UNUSED;
    return hit_if_child(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

ATTACK(clone_user_namespace) {
    UNUSED;
    return hit_if_child(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
}

ATTACK(clone3_process) {
    UNUSED;
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    return hit_if_child(syscall(SYS_clone3, &arguments, sizeof arguments));
}

ATTACK(trace_other) {
    if (ptrace(PTRACE_SEIZE, s->victim, 0, 0) != 0) return -1;
    return 0;
}

ATTACK(be_traced) {
    UNUSED;
    return (int)ptrace(PTRACE_TRACEME, 0, 0, 0);
}

/* The vector is valid here but perhaps not there: EFAULT means that the door was open. */
ATTACK(read_other_memory) {
    char byte;
    struct iovec here = {&byte, 1}, there = {(void *)0x1000, 1};
    ssize_t count = syscall(SYS_process_vm_readv, s->victim, &here, 1, &there, 1, 0);
    return count == 1 || errno == EFAULT ? 0 : -1;
}

ATTACK(write_other_memory) {
    char byte = 0;
    struct iovec here = {&byte, 1}, there = {(void *)0x1000, 1};
    ssize_t count = syscall(SYS_process_vm_writev, s->victim, &here, 1, &there, 1, 0);
    return count == 1 || errno == EFAULT ? 0 : -1;
}

static int open_of_process(int pid, const char *name) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY);
    if (fd < 0) return -1;
    close(fd);
    return 0;
}

ATTACK(open_other_memory) { return open_of_process(s->victim, "mem"); }
ATTACK(open_other_environment) { return open_of_process(s->victim, "environ"); }
ATTACK(open_other_command_line) { return open_of_process(s->victim, "cmdline"); }
ATTACK(open_other_maps) { return open_of_process(s->victim, "maps"); }
ATTACK(open_first_status) { UNUSED; return open_of_process(1, "status"); }

/* What libdispatch may open of its own threads must not be had of others. */
ATTACK(open_other_stat) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", s->victim);
    int fd = open(path, O_RDONLY);
    if (fd < 0 && errno == ENOENT) errno = EACCES; /* rewritten to a thread that this process does not have */
    return fd < 0 ? -1 : close(fd);
}

ATTACK(read_other_executable) {
    char path[64], target[64];
    snprintf(path, sizeof path, "/proc/%d/exe", s->victim);
    return readlink(path, target, sizeof target) > 0 ? 0 : -1;
}

ATTACK(kill_other) { return kill(s->victim, 0); }
ATTACK(kill_everybody) { UNUSED; return kill(-1, 0); }
ATTACK(tkill_other) { return (int)syscall(SYS_tkill, s->victim, 0); }
ATTACK(tgkill_other) { return (int)syscall(SYS_tgkill, s->victim, s->victim, 0); }

ATTACK(queue_signal) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_code = SI_QUEUE;
    return (int)syscall(SYS_rt_sigqueueinfo, s->victim, 0, &info);
}

ATTACK(open_pidfd) {
    int fd = (int)syscall(SYS_pidfd_open, s->victim, 0);
    return fd < 0 ? -1 : close(fd);
}

/* A handle on the parent that no pidfd_open is needed for: who is at the other end of a pair? */
static int peer_pidfd(void) {
    int pair[2], fd = -1;
    socklen_t size = sizeof fd;
    if (getsockopt(3, SOL_SOCKET, PEER_PIDFD, &fd, &size) == 0) return fd;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return -1;
    return getsockopt(pair[0], SOL_SOCKET, PEER_PIDFD, &fd, &size) == 0 ? fd : -1;
}

ATTACK(signal_by_pidfd) {
    UNUSED;
    int fd = peer_pidfd();
    return fd < 0 ? -1 : (int)syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0);
}

ATTACK(steal_descriptor) {
    UNUSED;
    int fd = peer_pidfd();
    return fd < 0 || syscall(SYS_pidfd_getfd, fd, 0, 0) < 0 ? -1 : 0;
}

ATTACK(enter_by_pidfd) {
    UNUSED;
    int fd = peer_pidfd();
    return fd < 0 ? -1 : (int)syscall(SYS_setns, fd, CLONE_NEWUTS);
}

ATTACK(compare_with_other) { return syscall(SYS_kcmp, getpid(), s->victim, 1, 0, 0) >= 0 ? 0 : -1; }

ATTACK(limit_other) {
    struct rlimit limit;
    return (int)syscall(SYS_prlimit64, s->victim, RLIMIT_NOFILE, NULL, &limit);
}

ATTACK(raise_own_limit) {
    UNUSED;
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) != 0) return -1;
    return prlimit(0, RLIMIT_CORE, &limit, NULL);
}

ATTACK(raise_own_limit_the_old_way) {
    UNUSED;
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) != 0) return -1;
    return (int)syscall(SYS_setrlimit, RLIMIT_CORE, &limit);
}

ATTACK(become_dumpable) { UNUSED; return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); }
ATTACK(outlive_parent) { UNUSED; return prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0); }
ATTACK(let_others_trace) { UNUSED; return prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0); }
ATTACK(change_personality) { UNUSED; return syscall(SYS_personality, 0x0400000) >= 0 ? 0 : -1; }
ATTACK(move_other_pages) { return (int)syscall(SYS_move_pages, s->victim, 0, NULL, NULL, NULL, 0); }

ATTACK(receive_signals_for_other) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return -1;
    return fcntl(pair[0], F_SETOWN, s->victim);
}

ATTACK(change_user) { UNUSED; return (int)syscall(SYS_setresuid, 12345, 12345, 12345); }
ATTACK(change_group) { UNUSED; return (int)syscall(SYS_setresgid, 12345, 12345, 12345); }
ATTACK(change_groups) { UNUSED; return (int)syscall(SYS_setgroups, 0, NULL); }
ATTACK(lead_session) { UNUSED; return syscall(SYS_setpgid, 0, 0) == 0 ? 0 : -1; }

ATTACK(set_capabilities) {
    UNUSED;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
    return (int)syscall(SYS_capset, &header, none);
}

/* Seems to work and does nothing: libdispatch takes a failure for a bug of its own. Hits if there is an effect. */
ATTACK(change_affinity) {
    UNUSED;
    cpu_set_t before, one, after;
    if (sched_getaffinity(0, sizeof before, &before) != 0) return -1;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0) return -1;
    if (sched_getaffinity(0, sizeof after, &after) != 0) return -1;
    if (CPU_EQUAL(&before, &after)) {
        errno = EPERM;
        return -1;
    }
    return 0;
}

ATTACK(change_priority) {
    UNUSED;
    if (setpriority(PRIO_PROCESS, 0, 5) != 0) return -1;
    if (getpriority(PRIO_PROCESS, 0) == 5) return 0;
    errno = EPERM;
    return -1;
}

const attack process_attacks[] = {
    {"execute", execute},
    {"execute at", execute_at},
    {"posix_spawn", spawn},
    {"fork", fork_process},
    {"clone a process", clone_process},
    {"clone into a user namespace", clone_user_namespace},
    {"clone3 a process", clone3_process},
    {"trace another process", trace_other},
    {"be traced", be_traced},
    {"read another's memory", read_other_memory},
    {"write another's memory", write_other_memory},
    {"open another's memory", open_other_memory},
    {"open another's environment", open_other_environment},
    {"open another's command line", open_other_command_line},
    {"open another's maps", open_other_maps},
    {"open another's stat", open_other_stat},
    {"open the first process's status", open_first_status},
    {"read another's executable link", read_other_executable},
    {"kill another", kill_other},
    {"kill everybody", kill_everybody},
    {"tkill another", tkill_other},
    {"tgkill another", tgkill_other},
    {"queue a signal", queue_signal},
    {"open a pidfd", open_pidfd},
    {"signal by a peer's pidfd", signal_by_pidfd},
    {"steal a peer's descriptor", steal_descriptor},
    {"enter a peer's namespace", enter_by_pidfd},
    {"compare with another", compare_with_other},
    {"read another's limits", limit_other},
    {"set own limits", raise_own_limit},
    {"set own limits the old way", raise_own_limit_the_old_way},
    {"become dumpable", become_dumpable},
    {"outlive the parent", outlive_parent},
    {"let others trace", let_others_trace},
    {"change personality", change_personality},
    {"move another's pages", move_other_pages},
    {"receive signals for another", receive_signals_for_other},
    {"change user", change_user},
    {"change group", change_group},
    {"change groups", change_groups},
    {"lead a process group", lead_session},
    {"set capabilities", set_capabilities},
    {"change affinity", change_affinity},
    {"change priority", change_priority},
    {NULL, NULL}};
