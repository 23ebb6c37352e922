/* A shared library that is no plugin. */
#include "runtime_sync.h"

RTS_EXPORT int not_a_plugin(void);

RTS_EXPORT int not_a_plugin(void) {
    return RTS_ABI_MAJOR;
}
