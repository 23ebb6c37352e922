/* Starts a worker with the descriptors it may have and nothing else of the daemon's. */
#define _GNU_SOURCE
#include "worker_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The whole environment: nothing of the daemon's, where secrets may be.
 * SWIFT_BACKTRACE: a plugin's trap would print registers and the memory they point to, passwords included.
 * MALLOC_ARENA_MAX: address space; LDAPNOINIT, SASL_PATH: libldap reads no ldaprc and loads no mechanism.
 */
static char *const environment[] = {
    (char[]){"MALLOC_ARENA_MAX=2"}, (char[]){"SWIFT_BACKTRACE=enable=no"},
    (char[]){"LDAPNOINIT=1"}, (char[]){"SASL_PATH=/nonexistent"}, NULL};

/* Where the descriptors come from: 1 to RTW_FD_FIRST_FILE - 1 are fixed, then the files. */
static int source_of(const rsp_worker *worker, int target) {
    switch (target) {
    case STDOUT_FILENO:
    case STDERR_FILENO: return worker->output;
    case RTW_FD_FRAMES: return worker->frames;
    case RTW_FD_BROKER: return worker->broker;
    case RTW_FD_PLUGIN: return worker->plugin;
    case RTW_FD_LOCKDOWN: return worker->lockdown;
    default: return worker->files[target - RTW_FD_FIRST_FILE];
    }
}

/* An error number, or 0, as posix_spawn has it. */
static int prepare_attributes(posix_spawnattr_t *attributes) {
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int error = posix_spawnattr_setsigmask(attributes, &none);
    if (error == 0) error = posix_spawnattr_setsigdefault(attributes, &all);
    if (error == 0) {
        error = posix_spawnattr_setflags(
            attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    }
    return error;
}

/*
 * The child puts each descriptor in its place with dup2. A source may be where another one has to go, so all are first
 * duplicated above the last place (close-on-exec, so that no other child inherits them in the meantime).
 */
static int prepare_descriptors(
    posix_spawn_file_actions_t *actions, const rsp_worker *worker, int *duplicates, int places) {
    int error = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    for (int target = STDOUT_FILENO; error == 0 && target < places; target++) {
        duplicates[target] = fcntl(source_of(worker, target), F_DUPFD_CLOEXEC, places);
        if (duplicates[target] < 0) return errno;
        error = posix_spawn_file_actions_adddup2(actions, duplicates[target], target);
    }
    if (error == 0) error = posix_spawn_file_actions_addclosefrom_np(actions, places);
    return error;
}

static int start(const rsp_worker *worker, int *duplicates, int places, pid_t *pid) {
    posix_spawnattr_t attributes;
    int error = posix_spawnattr_init(&attributes);
    if (error != 0) return error;
    posix_spawn_file_actions_t actions;
    error = posix_spawn_file_actions_init(&actions);
    if (error == 0) {
        error = prepare_attributes(&attributes);
        if (error == 0) error = prepare_descriptors(&actions, worker, duplicates, places);
        if (error == 0) {
            char *const arguments[] = {(char[]){"runtime-sync-worker"}, (char *)(uintptr_t)worker->provider, NULL};
            error = posix_spawn(pid, worker->executable, &actions, &attributes, arguments, environment);
        }
        posix_spawn_file_actions_destroy(&actions);
    }
    posix_spawnattr_destroy(&attributes);
    return error;
}

int rsp_spawn(const rsp_worker *worker, pid_t *pid, int *pidfd) {
    if (worker->file_count > 1024) {
        errno = E2BIG;
        return -1;
    }
    int places = RTW_FD_FIRST_FILE + (int)worker->file_count;
    int *duplicates = malloc((size_t)places * sizeof *duplicates);
    if (!duplicates) return -1;
    for (int target = 0; target < places; target++) duplicates[target] = -1;

    int error = start(worker, duplicates, places, pid);
    for (int target = 0; target < places; target++) {
        if (duplicates[target] >= 0) close(duplicates[target]);
    }
    free(duplicates);
    if (error != 0) {
        errno = error;
        return -1;
    }

    /* The pid cannot have been given to another process: only the caller reaps. */
    *pidfd = (int)syscall(SYS_pidfd_open, *pid, 0);
    if (*pidfd >= 0) return 0;
    error = errno;
    kill(*pid, SIGKILL);
    while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR) {}
    errno = error;
    return -1;
}
