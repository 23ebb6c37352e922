/* Finds an attack by its name. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attacks.h"

int probe_read_surroundings(const char *text, probe_surroundings *surroundings) {
    int count = sscanf(text, "%d %d %d %127s %63s", &surroundings->tcp_port, &surroundings->udp_port,
                       &surroundings->victim, surroundings->directory, surroundings->abstract);
    return count == 5 ? 0 : -1;
}

int probe_run(const char *name, const probe_surroundings *surroundings) {
    const attack *const themes[] = {
        process_attacks, file_attacks, network_attacks, system_attacks, ordinary_work};
    for (size_t theme = 0; theme < sizeof themes / sizeof *themes; theme++) {
        for (const attack *candidate = themes[theme]; candidate->name; candidate++) {
            if (strcmp(candidate->name, name) != 0) continue;
            errno = 0;
            return candidate->run(surroundings) == 0 ? 0 : errno;
        }
    }
    return -1;
}
