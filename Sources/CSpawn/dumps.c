/* A process with passwords in memory leaves no core file, and nobody of its own user may look into it. */
#define _GNU_SOURCE
#include "worker_spawn.h"

#include <sys/prctl.h>
#include <sys/resource.h>

int rsp_forbid_dumps(void) {
    const struct rlimit none = {0, 0};
    return setrlimit(RLIMIT_CORE, &none) == 0 ? prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) : -1;
}
