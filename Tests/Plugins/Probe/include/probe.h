/* probe.h: attacks that a plugin could try, by name. A process runs one at a time. */
#ifndef PROBE_H
#define PROBE_H

#include <stdint.h>

/* What the attacks are aimed at; the test sets it up and sees to it that outside the sandbox they hit. */
typedef struct probe_surroundings {
    int tcp_port;        /* listens on 127.0.0.1 */
    int udp_port;        /* bound on 127.0.0.1 */
    int victim;          /* pid of a process of the same user */
    char directory[128]; /* holds: `file` (a secret), `empty/`, `stream` and `datagram` (UNIX sockets) */
    char abstract[64];   /* name of an abstract UNIX stream socket */
} probe_surroundings;

/* Fills `*surroundings` from "tcp udp pid directory abstract". 0, or -1. */
int probe_read_surroundings(const char *text, probe_surroundings *surroundings);

/* Tries the attack. 0: it hit; an errno: it was refused; -1: there is none of that name. */
int probe_run(const char *name, const probe_surroundings *surroundings);

#endif
