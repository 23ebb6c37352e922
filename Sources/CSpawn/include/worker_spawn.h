/*
 * worker_spawn.h: what the daemon does with descriptors and Swift cannot: starting a worker with exactly the ones it may
 * have, sealing copies of files, and passing sockets on the broker pair.
 *
 * Rules that hold for every call: -1 means that it failed and errno says why; every descriptor that is made is
 * close-on-exec and the caller's; none that is handed in is closed; all may be called from any thread. No call blocks,
 * except rsp_spawn (until the worker's exec), the copies (reading the source), and rsp_broker_receive on a blocking
 * descriptor.
 */
#ifndef WORKER_SPAWN_H
#define WORKER_SPAWN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "worker_protocol.h"

/*
 * Copies a regular file into a memfd that nobody can change any more: a plugin, or a file that a plugin's settings name.
 * The copy is read from the file's beginning, whatever `source_fd`'s offset; its own offset is 0. No byte of it passes
 * through the daemon's memory. `name` shows in /proc/PID/fd and is not unique.
 * EINVAL: not a regular file. EFBIG: more than `max_bytes`.
 */
int rsp_sealed_copy(int source_fd, uint64_t max_bytes, const char *name);

/* The same, of bytes in memory: the lockdown record, a secret of the settings. The caller wipes `bytes`. */
int rsp_sealed_bytes(const void *bytes, size_t size, const char *name);

/*
 * A connected AF_UNIX pair: SOCK_STREAM for the frames, with send buffers of 1 MiB (as much of it as the system allows),
 * or SOCK_SEQPACKET for the broker. fds[0] is meant for the daemon, fds[1] for the worker.
 */
int rsp_socketpair(int type, int fds[2]);

/* A worker to be started. Everything is borrowed for the call; the worker gets duplicates. */
typedef struct rsp_worker {
    const char *executable; /* absolute path of runtime-sync-worker */
    const char *provider;   /* shown as the only argument; never a secret */
    int output;             /* writing end of a pipe: the worker's stdout and stderr. Not a regular file: the worker
                               may write none, and would die of SIGXFSZ */
    int frames;             /* the worker's end of the STREAM pair */
    int broker;             /* the worker's end of the SEQPACKET pair */
    int plugin;             /* sealed copy of the shared library */
    int lockdown;           /* sealed rtw_lockdown */
    const int *files;       /* as many as rtw_lockdown.file_count, in the order of START's keys; NULL if none */
    size_t file_count;
} rsp_worker;

/*
 * Starts a worker: the descriptors of worker_protocol.h and no others, a fixed environment of four variables, a session
 * of its own (a Ctrl-C meant for the daemon does not reach it), no signal blocked or ignored.
 *
 * `*pid` is to be reaped by the caller; `*pidfd` becomes readable when the worker has ended. Nothing else may reap the
 * daemon's children. The worker dies with the *thread* that started it (PR_SET_PDEATHSIG counts threads): call this from
 * one thread that lives as long as the daemon, never from a pool. A missing or unusable executable fails here.
 */
int rsp_spawn(const rsp_worker *worker, pid_t *pid, int *pidfd);

/*
 * Receives one broker request. Returns its size, or 0 when the worker is gone. `*socket_fd` is the socket that came
 * along, or -1; of several the first is kept and the rest are closed.
 * EBADMSG: not a request (wrong size, a name without end, an address too long); nothing came along then.
 */
ssize_t rsp_broker_receive(int fd, rtw_broker_request *request, int *socket_fd);

/* Answers one. EAGAIN: the worker does not read its answers; it deserves to be ended. Returns 0. */
int rsp_broker_answer(int fd, const rtw_broker_answer *answer);

/* 1 if `fd` is a TCP socket over IPv4 or IPv6, the only kind that the broker connects; otherwise 0. */
int rsp_is_tcp_stream(int fd);

/* Who is at the other end of an AF_UNIX socket. Returns 0. */
int rsp_peer_uid(int fd, uid_t *uid);

#endif
