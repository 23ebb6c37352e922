/* No attacks: what plugins and their libraries do all day. Each fails if the sandbox is too tight. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "attacks.h"

static int opens(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -1 : close(fd);
}

/* As libdispatch does, by the number that the kernel gives the thread. */
ATTACK(read_own_thread) {
    UNUSED;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", gettid());
    return opens(path);
}

static void *in_thread(void *result) {
    pthread_setname_np(pthread_self(), "ordinary");
    *(int *)result = read_own_thread(NULL);
    return NULL;
}

ATTACK(read_other_thread) {
    UNUSED;
    pthread_t thread;
    int result = -1;
    errno = pthread_create(&thread, NULL, in_thread, &result);
    if (errno != 0) return -1;
    errno = pthread_join(thread, NULL);
    return errno == 0 ? result : -1;
}

ATTACK(list_libraries) {
    UNUSED;
    DIR *folder = opendir("/usr/lib");
    return folder ? closedir(folder) : -1;
}

ATTACK(load_library) {
    UNUSED;
    if (dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL)) return 0;
    errno = ENOENT;
    return -1;
}

ATTACK(read_own_maps) { UNUSED; return opens("/proc/self/maps"); }
ATTACK(read_randomness) { UNUSED; return opens("/dev/urandom"); }

ATTACK(get_randomness) {
    UNUSED;
    char bytes[16];
    return getrandom(bytes, sizeof bytes, 0) == sizeof bytes ? 0 : -1;
}

ATTACK(wait_for_events) {
    UNUSED;
    int poller = epoll_create1(EPOLL_CLOEXEC), event = eventfd(1, EFD_CLOEXEC);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct itimerspec soon = {.it_value = {.tv_nsec = 1}};
    struct epoll_event wanted = {.events = EPOLLIN}, got;
    if (poller < 0 || event < 0 || timer < 0 || timerfd_settime(timer, 0, &soon, NULL) != 0) return -1;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, event, &wanted) != 0) return -1;
    return epoll_wait(poller, &got, 1, 1000) == 1 ? 0 : -1;
}

ATTACK(talk_to_itself) {
    UNUSED;
    int pair[2], ends[2];
    char byte = 'x';
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 || pipe2(ends, O_CLOEXEC) != 0) return -1;
    if (send(pair[0], &byte, 1, MSG_NOSIGNAL) != 1 || recv(pair[1], &byte, 1, 0) != 1) return -1;
    return write(ends[1], &byte, 1) == 1 && read(ends[0], &byte, 1) == 1 ? 0 : -1;
}

ATTACK(set_socket_up) {
    UNUSED;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP), on = 1;
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) != 0) return -1;
    return setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &on, sizeof on);
}

ATTACK(use_memory) {
    UNUSED;
    char *large = malloc(64u << 20);
    if (!large) return -1;
    large[0] = large[(64u << 20) - 1] = 1;
    char *larger = realloc(large, 96u << 20);
    free(larger ? larger : large);
    return larger ? 0 : -1;
}

ATTACK(signal_itself) {
    UNUSED;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    if (sigaction(SIGUSR1, &ignore, NULL) != 0) return -1;
    return raise(SIGUSR1);
}

ATTACK(sleep_a_little) {
    UNUSED;
    struct timespec instant = {0, 1};
    return nanosleep(&instant, NULL);
}

const attack ordinary_work[] = {
    {"read its own thread's stat", read_own_thread},
    {"read another of its threads' stat", read_other_thread},
    {"list a library folder", list_libraries},
    {"load a system library", load_library},
    {"read its own maps", read_own_maps},
    {"open the random device", read_randomness},
    {"get random bytes", get_randomness},
    {"wait for events", wait_for_events},
    {"talk to itself", talk_to_itself},
    {"set up a TCP socket", set_socket_up},
    {"use 96 MiB", use_memory},
    {"signal itself", signal_itself},
    {"sleep", sleep_a_little},
    {NULL, NULL}};
