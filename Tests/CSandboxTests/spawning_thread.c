/* One thread that starts all workers, one after the other. */
#define _GNU_SOURCE
#include "test_support.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

typedef struct order {
    struct order *next;
    const rsp_worker *worker;
    pid_t *pid;
    int *pidfd;
    int error, is_done;
} order;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static order *orders;

static void *work(void *nothing) {
    pthread_mutex_lock(&lock);
    for (;;) {
        while (!orders) pthread_cond_wait(&changed, &lock);
        order *next = orders;
        orders = next->next;
        pthread_mutex_unlock(&lock);
        next->error = rsp_spawn(next->worker, next->pid, next->pidfd) == 0 ? 0 : errno;
        pthread_mutex_lock(&lock);
        next->is_done = 1;
        pthread_cond_broadcast(&changed);
    }
    return nothing;
}

static void start_thread(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, NULL) != 0) abort();
}

int spawn_on_lasting_thread(const rsp_worker *worker, pid_t *pid, int *pidfd) {
    pthread_once(&once, start_thread);
    pthread_mutex_lock(&lock);
    order own = {.next = orders, .worker = worker, .pid = pid, .pidfd = pidfd};
    orders = &own;
    pthread_cond_broadcast(&changed);
    while (!own.is_done) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    errno = own.error;
    return own.error == 0 ? 0 : -1;
}
