/* What these tests need of C. */
#ifndef TEST_SUPPORT_H
#define TEST_SUPPORT_H

#include "worker_spawn.h"

/* rsp_spawn on a thread that lives as long as the process; the tests run on threads of a pool, which come and go, and a
 * worker dies with the thread that started it. From any thread. */
int spawn_on_lasting_thread(const rsp_worker *worker, pid_t *pid, int *pidfd);

/* pidfd_open: readable when a process that need not be our child has ended. */
int handle_of_process(pid_t pid);

/* A file without a name that holds `size` bytes. */
int memfd_of(const void *bytes, size_t size);

/* F_GET_SEALS. */
int seals_of(int fd);

/* One message with descriptors, as a worker may send it. */
ssize_t send_with_descriptors(int fd, const void *bytes, size_t size, const int *descriptors, size_t count);

#endif
