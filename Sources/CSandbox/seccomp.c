/*
 * Seccomp: which system calls a plugin may make, and with which arguments. A BPF program written by hand, so that every
 * rule can be read here, and newer calls than a library knows are refused like any other.
 *
 *   named in `allowed`     done
 *   argument rules         done if the arguments are harmless
 *   named in `hostile`     EPERM, and a line on stderr that names the number; or death, if the settings say strict
 *   any other              ENOSYS: libraries take it for an old kernel and fall back
 *   another architecture's way in (int 0x80, x32)   death
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "layers.h"

#if defined(__x86_64__)
#define NATIVE_ARCHITECTURE AUDIT_ARCH_X86_64
#define RESULT_REGISTER(context) ((context)->uc_mcontext.gregs[REG_RAX])
#elif defined(__aarch64__)
#define NATIVE_ARCHITECTURE AUDIT_ARCH_AARCH64
#define RESULT_REGISTER(context) ((context)->uc_mcontext.regs[0])
#else
#error "the system calls of this architecture have not been looked at"
#endif
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the low half of an argument is taken to come first");

#define PR_SET_VMA_OPTION 0x53564d41u /* names a mapping */

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const int allowed[] = {
    /* memory; mmap and mprotect have rules */
    SYS_brk, SYS_munmap, SYS_mremap, SYS_madvise, SYS_mincore, SYS_membarrier,
    /* threads and time; clone has a rule, clone3 is answered ENOSYS so that libc uses clone */
    SYS_futex, SYS_set_robust_list, SYS_get_robust_list, SYS_rseq, SYS_set_tid_address, SYS_exit, SYS_exit_group,
    SYS_sched_yield, SYS_sched_getaffinity, SYS_sched_getscheduler, SYS_sched_getparam, SYS_sched_get_priority_max,
    SYS_sched_get_priority_min, SYS_getcpu, SYS_getpriority, SYS_nanosleep, SYS_clock_nanosleep, SYS_clock_gettime,
    SYS_clock_getres, SYS_gettimeofday, SYS_times, SYS_restart_syscall, SYS_timerfd_create, SYS_timerfd_settime,
    SYS_timerfd_gettime,
    /* signals; tgkill has a rule */
    SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigpending, SYS_rt_sigtimedwait,
    SYS_rt_sigsuspend, SYS_sigaltstack, SYS_signalfd4,
    /* who and where am I */
    SYS_getpid, SYS_gettid, SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_getresuid,
    SYS_getresgid, SYS_getgroups, SYS_getpgid, SYS_getsid, SYS_capget, SYS_uname, SYS_sysinfo, SYS_getrusage,
    SYS_getcwd, SYS_getrandom,
    /* descriptors; fcntl and ioctl have rules */
    SYS_read, SYS_readv, SYS_pread64, SYS_preadv, SYS_write, SYS_writev, SYS_pwrite64, SYS_lseek, SYS_close,
    SYS_dup, SYS_dup3, SYS_pipe2, SYS_eventfd2, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_ppoll,
    SYS_pselect6,
    /* files, as far as Landlock lets them be read; openat has a rule */
    SYS_fstat, SYS_newfstatat, SYS_statx, SYS_faccessat, SYS_faccessat2, SYS_readlinkat, SYS_getdents64, SYS_statfs,
    SYS_fstatfs, SYS_fadvise64,
    /* sockets that exist; the rest have rules */
    SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg, SYS_shutdown, SYS_getsockname, SYS_getpeername, SYS_getsockopt,
#if defined(__x86_64__)
    SYS_time, SYS_dup2, SYS_pipe, SYS_eventfd, SYS_epoll_create, SYS_epoll_wait, SYS_poll, SYS_select, SYS_stat,
    SYS_lstat, SYS_access, SYS_readlink, SYS_getdents, SYS_getrlimit, SYS_getpgrp, SYS_pause,
#endif
};

/* Nobody asks for these by accident; whoever does is told of in the log. */
static const int hostile[] = {
    /* other processes */
    SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_process_madvise,
    SYS_process_mrelease, SYS_pidfd_open, SYS_pidfd_getfd, SYS_pidfd_send_signal, SYS_kcmp, SYS_kill, SYS_tkill,
    SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_move_pages, SYS_migrate_pages, SYS_setrlimit,
    /* connections of its own; connect is the broker's */
    SYS_connect, SYS_bind, SYS_listen, SYS_accept, SYS_accept4,
    /* another view of the system */
    SYS_mount, SYS_umount2, SYS_move_mount, SYS_open_tree, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick,
    SYS_mount_setattr, SYS_pivot_root, SYS_chroot, SYS_unshare, SYS_setns,
    /* ways around checks, and wide kernel surfaces */
    SYS_add_key, SYS_request_key, SYS_keyctl, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_io_uring_setup,
    SYS_io_uring_enter, SYS_io_uring_register, SYS_name_to_handle_at, SYS_open_by_handle_at, SYS_memfd_create,
    SYS_personality, SYS_seccomp,
    /* the system itself */
    SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_reboot, SYS_swapon, SYS_swapoff,
    SYS_acct, SYS_quotactl, SYS_syslog, SYS_sethostname, SYS_setdomainname, SYS_settimeofday, SYS_clock_settime,
    SYS_clock_adjtime, SYS_adjtimex, SYS_vhangup,
    /* being somebody else */
    SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid, SYS_setfsuid, SYS_setfsgid,
    SYS_setgroups, SYS_capset,
    /* changing files */
    SYS_truncate, SYS_ftruncate, SYS_fallocate, SYS_renameat2, SYS_linkat, SYS_symlinkat, SYS_unlinkat, SYS_mkdirat,
    SYS_mknodat, SYS_fchmod, SYS_fchmodat, SYS_fchown, SYS_fchownat, SYS_utimensat, SYS_setxattr, SYS_lsetxattr,
    SYS_fsetxattr, SYS_removexattr, SYS_lremovexattr, SYS_fremovexattr,
    /* memory and queues shared by name */
    SYS_shmget, SYS_shmat, SYS_shmctl, SYS_semget, SYS_semctl, SYS_semop, SYS_semtimedop, SYS_msgget, SYS_msgsnd,
    SYS_msgrcv, SYS_msgctl, SYS_mq_open, SYS_mq_unlink, SYS_mq_timedsend, SYS_mq_timedreceive, SYS_mq_notify,
#ifdef SYS_renameat
    SYS_renameat,
#endif
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
#ifdef SYS_memfd_secret
    SYS_memfd_secret,
#endif
#if defined(__x86_64__)
    SYS_fork, SYS_vfork, SYS_creat, SYS_rename, SYS_link, SYS_symlink, SYS_unlink, SYS_mkdir, SYS_rmdir, SYS_mknod,
    SYS_chmod, SYS_chown, SYS_lchown, SYS_utime, SYS_utimes, SYS_futimesat, SYS_iopl, SYS_ioperm, SYS_modify_ldt,
#endif
};

/* Said to be done, because libdispatch takes a failure for a bug of its own. */
static const int ignored[] = {
    SYS_setpriority, SYS_sched_setscheduler, SYS_sched_setparam, SYS_sched_setaffinity, SYS_sched_setattr,
    SYS_ioprio_set};

/* The program. A jump reaches 255 instructions, so a rule decides and returns within its own block. */
typedef struct program {
    struct sock_filter code[1024];
    size_t length;
    uint32_t hostile_action;
} program;

#define ALLOW SECCOMP_RET_ALLOW
#define FAIL(number) (SECCOMP_RET_ERRNO | (number))

static void emit(program *program, uint16_t code, uint32_t value, uint8_t if_true, uint8_t if_false) {
    if (program->length == COUNT(program->code)) abort();
    program->code[program->length++] = (struct sock_filter){code, if_true, if_false, value};
}

static void load(program *program, size_t offset) {
    emit(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void answer(program *program, uint32_t action) {
    emit(program, BPF_RET | BPF_K, action, 0, 0);
}

/* Whole calls: the number is loaded. */
static void decide(program *program, const int *calls, size_t count, uint32_t action) {
    for (size_t index = 0; index < count; index++) {
        emit(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[index], 0, 1);
        answer(program, action);
    }
}

/* A rule about one call: begin, then requirements, then end. */
static size_t begin(program *program, int call) {
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 0);
    return program->length;
}

static void end(program *program, size_t start, uint32_t otherwise) {
    answer(program, otherwise);
    size_t size = program->length - start;
    if (size > 255) abort();
    program->code[start - 1].jf = (uint8_t)size;
}

static size_t low_half(int argument) {
    return offsetof(struct seccomp_data, args) + (size_t)argument * sizeof(uint64_t);
}

/* The kernel reads these arguments as int, so their high halves do not count. */
static void require(program *program, int argument, uint32_t mask, uint32_t value, uint32_t otherwise) {
    load(program, low_half(argument));
    emit(program, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0);
    answer(program, otherwise);
}

static void require_null(program *program, int argument, uint32_t otherwise) {
    require(program, argument, ~0u, 0, otherwise);
    load(program, low_half(argument) + 4);
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0);
    answer(program, otherwise);
}

static void require_one_of(
    program *program, int argument, uint32_t mask, const uint32_t *values, size_t count, uint32_t otherwise) {
    load(program, low_half(argument));
    emit(program, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
    for (size_t index = 0; index < count; index++) {
        emit(program, BPF_JMP | BPF_JEQ | BPF_K, values[index], (uint8_t)(count - index), 0);
    }
    answer(program, otherwise);
}

/* One rule with one requirement. */
static void only_if(program *program, int call, int argument, uint32_t mask, uint32_t value, uint32_t otherwise) {
    size_t rule = begin(program, call);
    require(program, argument, mask, value, otherwise);
    end(program, rule, ALLOW);
}

static void only_one_of(
    program *program, int call, int argument, const uint32_t *values, size_t count, uint32_t otherwise) {
    size_t rule = begin(program, call);
    require_one_of(program, argument, ~0u, values, count, otherwise);
    end(program, rule, ALLOW);
}

/* Threads yes, processes and namespaces no. Not hostile_action: posix_spawn and fork block SIGSYS before they clone. */
static void thread_rules(program *program) {
    const uint32_t thread = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
    const uint32_t namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER
        | CLONE_NEWPID | CLONE_NEWNET;
    only_if(program, SYS_clone, 0, thread | namespaces, thread, FAIL(EPERM));

    only_if(program, SYS_tgkill, 0, ~0u, (uint32_t)getpid(), program->hostile_action);

    size_t rule = begin(program, SYS_prlimit64);
    require(program, 0, ~0u, 0, program->hostile_action);
    require_null(program, 2, program->hostile_action);
    end(program, rule, ALLOW);

    const uint32_t naming[] = {PR_SET_NAME, PR_GET_NAME, PR_SET_VMA_OPTION};
    only_one_of(program, SYS_prctl, 0, naming, COUNT(naming), FAIL(EPERM));
}

/* Reading, with Landlock to say what; memory is written or executed, never both. */
static void file_and_memory_rules(program *program) {
    const uint32_t changing = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY);
    only_if(program, SYS_openat, 2, changing, O_RDONLY, FAIL(EACCES));
#if defined(__x86_64__)
    only_if(program, SYS_open, 1, changing, O_RDONLY, FAIL(EACCES));
#endif
    const uint32_t both = PROT_WRITE | PROT_EXEC;
    const uint32_t not_both[] = {0, PROT_WRITE, PROT_EXEC};
    const int mapping[] = {SYS_mmap, SYS_mprotect};
    for (size_t index = 0; index < COUNT(mapping); index++) {
        size_t rule = begin(program, mapping[index]);
        require_one_of(program, 2, both, not_both, COUNT(not_both), FAIL(EACCES));
        end(program, rule, ALLOW);
    }

    const uint32_t commands[] = {F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW,
                                 F_DUPFD_CLOEXEC};
    only_one_of(program, SYS_fcntl, 1, commands, COUNT(commands), FAIL(EPERM));
    const uint32_t requests[] = {FIONREAD, FIONBIO};
    only_one_of(program, SYS_ioctl, 1, requests, COUNT(requests), FAIL(ENOTTY));
}

/*
 * Socket options are listed, because some of them change where bytes go after the broker has looked: IP_OPTIONS and
 * IPV6_RTHDR route by way of any host, TCP_ULP and TCP_FASTOPEN_CONNECT change how a connection is made.
 */
static void socket_option_rules(program *program) {
    static const struct {
        uint32_t level;
        uint32_t options[14];
        size_t count;
    } levels[] = {
        {SOL_SOCKET,
         {SO_REUSEADDR, SO_KEEPALIVE, SO_LINGER, SO_OOBINLINE, SO_SNDBUF, SO_RCVBUF, SO_SNDTIMEO, SO_RCVTIMEO,
          SO_RCVLOWAT, SO_PRIORITY, SO_TIMESTAMP},
         11},
        {IPPROTO_TCP,
         {TCP_NODELAY, TCP_MAXSEG, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_SYNCNT, TCP_LINGER2,
          TCP_WINDOW_CLAMP, TCP_QUICKACK, TCP_CONGESTION, TCP_USER_TIMEOUT, TCP_NOTSENT_LOWAT},
         13},
        {IPPROTO_IP, {IP_TOS, IP_TTL}, 2},
        {IPPROTO_IPV6, {IPV6_V6ONLY, IPV6_TCLASS, IPV6_UNICAST_HOPS}, 3},
    };
    size_t rule = begin(program, SYS_setsockopt);
    for (size_t index = 0; index < COUNT(levels); index++) {
        load(program, low_half(1));
        emit(program, BPF_JMP | BPF_JEQ | BPF_K, levels[index].level, 0, 0);
        size_t of_level = program->length;
        require_one_of(program, 2, ~0u, levels[index].options, levels[index].count, FAIL(ENOPROTOOPT));
        end(program, of_level, ALLOW);
    }
    end(program, rule, FAIL(ENOPROTOOPT));
}

/*
 * TCP over IPv4 and IPv6 and no other protocol: Landlock does not see the ports of MPTCP, nor UDP, nor sockets with a
 * path. A fast-open send connects without connect. A datagram pair could be pointed at any socket with a path.
 */
static void socket_rules(program *program) {
    const uint32_t kind = ~(uint32_t)(SOCK_CLOEXEC | SOCK_NONBLOCK);
    const uint32_t families[] = {AF_INET, AF_INET6};
    const uint32_t protocols[] = {0, IPPROTO_TCP};

    size_t rule = begin(program, SYS_socket);
    require_one_of(program, 0, ~0u, families, COUNT(families), FAIL(EACCES));
    require(program, 1, kind, SOCK_STREAM, FAIL(EACCES));
    require_one_of(program, 2, ~0u, protocols, COUNT(protocols), FAIL(EACCES));
    end(program, rule, ALLOW);

    rule = begin(program, SYS_socketpair);
    require(program, 0, ~0u, AF_UNIX, FAIL(EACCES));
    require(program, 1, kind, SOCK_STREAM, FAIL(EACCES));
    end(program, rule, ALLOW);

    only_if(program, SYS_sendto, 3, MSG_FASTOPEN, 0, program->hostile_action);
    only_if(program, SYS_sendmsg, 2, MSG_FASTOPEN, 0, program->hostile_action);
    only_if(program, SYS_sendmmsg, 3, MSG_FASTOPEN, 0, program->hostile_action);
}

static void assemble(program *program) {
    load(program, offsetof(struct seccomp_data, arch));
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCHITECTURE, 1, 0);
    answer(program, SECCOMP_RET_KILL_PROCESS);
    load(program, offsetof(struct seccomp_data, nr));
#if defined(__x86_64__)
    /* x32 has the same architecture number, and a bit in the call's number. */
    emit(program, BPF_JMP | BPF_JGE | BPF_K, 0x40000000u, 0, 1);
    answer(program, SECCOMP_RET_KILL_PROCESS);
#endif
    /* A rule that does not fit the call leaves the number loaded. */
    decide(program, allowed, COUNT(allowed), ALLOW);
    thread_rules(program);
    file_and_memory_rules(program);
    socket_rules(program);
    socket_option_rules(program);
    decide(program, ignored, COUNT(ignored), FAIL(0));
    decide(program, hostile, COUNT(hostile), program->hostile_action);
    answer(program, FAIL(ENOSYS));
}

/* Tells of a hostile call and lets it fail. Async-signal-safe. */
static void refuse(int signal, siginfo_t *info, void *context) {
    (void)signal;
    int saved = errno;
    char line[] = "runtime-sync-worker: refused system call ....\n";
    int number = info->si_syscall;
    for (char *digit = line + sizeof line - 3; *digit == '.'; digit--, number /= 10) {
        *digit = number > 0 ? (char)('0' + number % 10) : ' ';
    }
    (void)!write(STDERR_FILENO, line, sizeof line - 1);
    RESULT_REGISTER((ucontext_t *)context) = -EPERM;
    errno = saved;
}

int restrict_system_calls(int strict) {
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    action.sa_sigaction = refuse;
    if (sigaction(SIGSYS, &action, NULL) != 0) return -1;

    program program = {.length = 0, .hostile_action = strict ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_TRAP};
    assemble(&program);
    struct sock_fprog loaded = {.len = (unsigned short)program.length, .filter = program.code};
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &loaded);
}
