/* Attacks on the kernel and on the process's own confinement. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <mqueue.h>
#include <sched.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <unistd.h>

#include "attacks.h"

static int made(long fd) {
    return fd < 0 ? -1 : close((int)fd);
}

ATTACK(mount_file_system) { return mount("none", s->directory, "tmpfs", 0, NULL); }
ATTACK(unmount) { return umount2(s->directory, MNT_DETACH) == 0 || errno == EINVAL ? 0 : -1; }
ATTACK(open_file_system) { UNUSED; return made(syscall(SYS_fsopen, "tmpfs", 0)); }
ATTACK(open_mount_tree) { return made(syscall(SYS_open_tree, AT_FDCWD, s->directory, 0)); }
ATTACK(unshare_user) { UNUSED; return unshare(CLONE_NEWUTS); }
ATTACK(unshare_network) { UNUSED; return unshare(CLONE_NEWNET); }
ATTACK(enter_namespace) {
    UNUSED;
    return setns((int)syscall(SYS_openat, AT_FDCWD, "/proc/self/ns/uts", O_RDONLY), CLONE_NEWUTS);
}
ATTACK(change_root) { return chroot(s->directory); }
ATTACK(read_keyring) { UNUSED; return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 1) < 0 ? -1 : 0; }
ATTACK(add_key) {
    UNUSED;
    return syscall(SYS_add_key, "user", "probe", "x", 1, KEY_SPEC_PROCESS_KEYRING) < 0 ? -1 : 0;
}
ATTACK(request_key) {
    UNUSED;
    return syscall(SYS_request_key, "user", "probe", NULL, 0) >= 0 || errno == ENOKEY ? 0 : -1;
}

ATTACK(load_bpf) {
    UNUSED;
    union bpf_attr map;
    memset(&map, 0, sizeof map);
    map.map_type = BPF_MAP_TYPE_ARRAY;
    map.key_size = map.value_size = 4;
    map.max_entries = 1;
    return made(syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map));
}

ATTACK(set_up_ring) {
    UNUSED;
    struct io_uring_params parameters;
    memset(&parameters, 0, sizeof parameters);
    return made(syscall(SYS_io_uring_setup, 1, &parameters));
}

ATTACK(catch_page_faults) { UNUSED; return made(syscall(SYS_userfaultfd, 1)); }

ATTACK(measure_performance) {
    UNUSED;
    struct perf_event_attr event;
    memset(&event, 0, sizeof event);
    event.size = sizeof event;
    event.type = PERF_TYPE_SOFTWARE;
    event.config = PERF_COUNT_SW_CPU_CLOCK;
    return made(syscall(SYS_perf_event_open, &event, 0, -1, -1, 0));
}

ATTACK(make_memory_file) { UNUSED; return made(memfd_create("probe", 0)); }
ATTACK(make_secret_memory) { UNUSED; return made(syscall(SYS_memfd_secret, 0)); }
ATTACK(add_filter) { UNUSED; return (int)syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &(unsigned){SECCOMP_RET_ALLOW}); }
ATTACK(add_filter_by_prctl) { UNUSED; return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0 ? -1 : 0; }
ATTACK(share_memory) { UNUSED; return shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600) < 0 ? -1 : 0; }
ATTACK(make_message_queue) { UNUSED; return msgget(IPC_PRIVATE, IPC_CREAT | 0600) < 0 ? -1 : 0; }
ATTACK(make_semaphores) { UNUSED; return semget(IPC_PRIVATE, 1, IPC_CREAT | 0600) < 0 ? -1 : 0; }
ATTACK(open_message_queue) {
    UNUSED;
    mqd_t queue = (mqd_t)syscall(SYS_mq_open, "probe", O_CREAT | O_RDWR, 0600, NULL);
    if (queue >= 0) syscall(SYS_mq_unlink, "probe");
    return made(queue);
}
ATTACK(load_module) {
    UNUSED;
    return syscall(SYS_finit_module, -1, "", 0) == 0 || errno == EBADF ? 0 : -1;
}
ATTACK(load_kernel) { UNUSED; return (int)syscall(SYS_kexec_load, 0, 0, NULL, 0); }
ATTACK(restart_system) {
    UNUSED;
    return syscall(SYS_reboot, 0, 0, 0, NULL) == 0 || errno == EINVAL ? 0 : -1; /* wrong magic: asked, not done */
}
ATTACK(name_host) { UNUSED; return (int)syscall(SYS_sethostname, NULL, -1) == 0 || errno == EINVAL ? 0 : -1; }
ATTACK(set_clock) {
    UNUSED;
    struct timex nothing;
    memset(&nothing, 0, sizeof nothing);
    return adjtimex(&nothing) < 0 ? -1 : 0;
}
ATTACK(read_kernel_log) { UNUSED; return syscall(SYS_syslog, 10, NULL, 0) < 0 ? -1 : 0; }

static int maps(int protection) {
    void *place = mmap(NULL, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return place == MAP_FAILED ? -1 : munmap(place, 4096);
}

ATTACK(map_writable_code) { UNUSED; return maps(PROT_READ | PROT_WRITE | PROT_EXEC); }

static int protects(int before, int after) {
    void *place = mmap(NULL, 4096, before, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return place == MAP_FAILED ? -1 : mprotect(place, 4096, after);
}

ATTACK(make_memory_writable_code) { UNUSED; return protects(PROT_READ, PROT_READ | PROT_WRITE | PROT_EXEC); }
ATTACK(make_data_code) { UNUSED; return protects(PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC); }
ATTACK(make_data_code_with_key) {
    UNUSED;
    void *place = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return (int)syscall(SYS_pkey_mprotect, place, 4096, PROT_READ | PROT_EXEC, -1);
}

/* An executable page of zeros is no use to anybody. */
ATTACK(map_empty_code) { UNUSED; return maps(PROT_READ | PROT_EXEC); }

#if defined(__x86_64__)
ATTACK(use_port) { UNUSED; return (int)syscall(SYS_ioperm, 0x80, 1, 1); }
ATTACK(use_all_ports) { UNUSED; return (int)syscall(SYS_iopl, 0); }
ATTACK(change_segments) { UNUSED; return syscall(SYS_modify_ldt, 0, NULL, 0) < 0 ? -1 : 0; }
ATTACK(call_as_32_bit) {
    UNUSED;
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory"); /* getpid */
    return result > 0 ? 0 : -1;
}
ATTACK(call_as_x32) { UNUSED; return syscall(0x40000000 | SYS_getpid) > 0 ? 0 : -1; }
#endif

const attack system_attacks[] = {
    {"mount a file system", mount_file_system},
    {"unmount", unmount},
    {"open a file system", open_file_system},
    {"open a mount tree", open_mount_tree},
    {"unshare", unshare_user},
    {"unshare the network", unshare_network},
    {"enter a namespace", enter_namespace},
    {"change the root", change_root},
    {"read a keyring", read_keyring},
    {"add a key", add_key},
    {"request a key", request_key},
    {"load BPF", load_bpf},
    {"set up io_uring", set_up_ring},
    {"catch page faults", catch_page_faults},
    {"measure performance", measure_performance},
    {"make a memory file", make_memory_file},
    {"make secret memory", make_secret_memory},
    {"ask for filters", add_filter},
    {"ask for filters by prctl", add_filter_by_prctl},
    {"share memory", share_memory},
    {"make a message queue", make_message_queue},
    {"make semaphores", make_semaphores},
    {"open a message queue", open_message_queue},
    {"load a module", load_module},
    {"load a kernel", load_kernel},
    {"restart the system", restart_system},
    {"name the host", name_host},
    {"set the clock", set_clock},
    {"read the kernel's log", read_kernel_log},
    {"map writable code", map_writable_code},
    {"make memory writable code", make_memory_writable_code},
    {"make data code", make_data_code},
    {"make data code with a key", make_data_code_with_key},
    {"map empty code", map_empty_code},
#if defined(__x86_64__)
    {"use an I/O port", use_port},
    {"use all I/O ports", use_all_ports},
    {"change segments", change_segments},
    {"call as 32 bit", call_as_32_bit},
    {"call as x32", call_as_x32},
#endif
    {NULL, NULL}};
