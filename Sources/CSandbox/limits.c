/* What a worker may use up: descriptors, memory, threads. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "layers.h"

/* Before Linux 5.9 there is no such call; the daemon has started us with nothing above anyway. */
int close_other_descriptors(uint32_t first_unused) {
    return syscall(SYS_close_range, first_unused, ~0u, 0) == 0 || errno == ENOSYS ? 0 : -1;
}

/* A limit that is lower already stays. */
static int at_most(int resource, rlim_t value) {
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)resource, &limit) != 0) return -1;
    if (limit.rlim_max < value) value = limit.rlim_max;
    limit.rlim_cur = limit.rlim_max = value;
    return setrlimit((__rlimit_resource_t)resource, &limit);
}

/* RLIMIT_DATA counts whole stacks, and 8 MiB is the default; plugins with many threads would run into it. */
static int shrink_thread_stacks(void) {
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error == 0) {
        error = pthread_attr_setstacksize(&attributes, 1u << 20);
        if (error == 0) error = pthread_setattr_default_np(&attributes);
        pthread_attr_destroy(&attributes);
    }
    errno = error;
    return error == 0 ? 0 : -1;
}

/*
 * RLIMIT_DATA and not RLIMIT_AS, which counts what is only reserved. No RLIMIT_CPU: it adds up over a worker's healthy
 * life. RLIMIT_NPROC counts all threads of the uid, so it is for a uid that this worker has to itself.
 */
int limit_resources(const rtw_lockdown *lockdown, int own_uid) {
    if (at_most(RLIMIT_DATA, lockdown->max_data_bytes) != 0) return -1;
    if (at_most(RLIMIT_NOFILE, lockdown->max_descriptors) != 0) return -1;
    if (own_uid && at_most(RLIMIT_NPROC, 128) != 0) return -1;
    if (at_most(RLIMIT_FSIZE, 0) != 0) return -1;
    if (at_most(RLIMIT_CORE, 0) != 0) return -1;
    if (at_most(RLIMIT_MEMLOCK, 0) != 0) return -1;
    if (at_most(RLIMIT_MSGQUEUE, 0) != 0) return -1;
    return shrink_thread_stacks();
}
