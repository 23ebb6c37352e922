/* The requests that wait for their answer: each is ended once, by whichever thread comes first. */
#ifndef REQUESTS_H
#define REQUESTS_H

#include <stdint.h>

/* Makes room for `window` requests. 0, or -1 without memory. Before any other call. */
int requests_prepare(uint32_t window);

/* A new request. 0, or -1 if it is there already, has id 0, or would be one too many: the daemon broke its word. */
int requests_begin(uint64_t id);

/* Ends a request: 0 for exactly one caller, who is told how many others wait; -1 if there is none (any more). From any
 * thread. */
int requests_end(uint64_t id, uint32_t *others);

/* Whether it still waits. */
int requests_waits(uint64_t id);

#endif
