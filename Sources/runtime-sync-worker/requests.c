/* A hash table with open addressing; at most half full, and 0 marks a free place. */
#define _GNU_SOURCE
#include "requests.h"

#include <pthread.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t *places;
static uint32_t mask; /* number of places, a power of two, minus 1 */
static uint32_t count;
static uint32_t limit;

int requests_prepare(uint32_t window) {
    uint32_t size = 2;
    while (size < 2 * window) size *= 2;
    places = calloc(size, sizeof *places);
    if (!places) return -1;
    mask = size - 1;
    limit = window;
    return 0;
}

/* Where the search for `id` starts. Ids that follow each other must not end up in one heap. */
static uint32_t home(uint64_t id) {
    return (uint32_t)((id * 0x9e3779b97f4a7c15u) >> 32) & mask;
}

/* The place of `id`, or the free one where it belongs. */
static uint32_t place_of(uint64_t id) {
    uint32_t place = home(id);
    while (places[place] != 0 && places[place] != id) place = (place + 1) & mask;
    return place;
}

/* Frees a place and moves up whoever was pushed past it. */
static void vacate(uint32_t place) {
    for (uint32_t next = (place + 1) & mask; places[next] != 0; next = (next + 1) & mask) {
        uint32_t pushed = (next - home(places[next])) & mask;
        if (pushed < ((next - place) & mask)) continue;
        places[place] = places[next];
        place = next;
    }
    places[place] = 0;
}

int requests_begin(uint64_t id) {
    int result = -1;
    pthread_mutex_lock(&lock);
    if (id != 0 && count < limit) {
        uint32_t place = place_of(id);
        if (places[place] == 0) {
            places[place] = id;
            count++;
            result = 0;
        }
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int requests_end(uint64_t id, uint32_t *others) {
    int result = -1;
    pthread_mutex_lock(&lock);
    if (id != 0 && count > 0) {
        uint32_t place = place_of(id);
        if (places[place] == id) {
            vacate(place);
            count--;
            *others = count;
            result = 0;
        }
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int requests_waits(uint64_t id) {
    pthread_mutex_lock(&lock);
    int waits = id != 0 && count > 0 && places[place_of(id)] == id;
    pthread_mutex_unlock(&lock);
    return waits;
}
