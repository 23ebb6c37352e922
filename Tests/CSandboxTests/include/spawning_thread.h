/* Tests run on threads of a pool, which come and go; a worker dies with the thread that started it. */
#ifndef SPAWNING_THREAD_H
#define SPAWNING_THREAD_H

#include "worker_spawn.h"

/* rsp_spawn on a thread that lives as long as the process. From any thread. */
int spawn_on_lasting_thread(const rsp_worker *worker, pid_t *pid, int *pidfd);

/* pidfd_open: readable when a process that need not be our child has ended. */
int handle_of_process(pid_t pid);

#endif
