/* The attacks by theme. Each tries one thing: 0 if it hit, else -1 with errno. */
#ifndef ATTACKS_H
#define ATTACKS_H

#include "probe.h"

typedef struct attack {
    const char *name;
    int (*run)(const probe_surroundings *surroundings);
} attack;

extern const attack process_attacks[];
extern const attack file_attacks[];
extern const attack network_attacks[];
extern const attack system_attacks[];
extern const attack ordinary_work[];

#define ATTACK(name) static int name(const probe_surroundings *s)
#define UNUSED (void)s

#endif
