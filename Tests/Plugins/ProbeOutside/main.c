/*
 * Tries one attack outside any sandbox: exit status 0 if it hit, 1 with the errno's name on stderr if it did not. Shows
 * that an attack which is refused inside would hit otherwise. None of them leaves traces outside its surroundings.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "probe.h"

int main(int count, char **arguments) {
    probe_surroundings surroundings;
    if (count != 3 || probe_read_surroundings(arguments[2], &surroundings) != 0) return 2;
    (void)unshare(CLONE_NEWNS); /* a mount that hits ends with this process */
    int error = probe_run(arguments[1], &surroundings);
    if (error == 0) return 0;
    fprintf(stderr, "%s: %s\n", arguments[1], error < 0 ? "no such attack" : strerrorname_np(error));
    return 1;
}
