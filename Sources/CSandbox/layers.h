/* The layers, one function each: 0, or -1 with errno. sandbox.c knows their order. */
#ifndef LAYERS_H
#define LAYERS_H

#include <stdint.h>

#include "worker_protocol.h"

/* privileges.c */
int die_with_parent(uint32_t parent_pid);
int change_identity(uint32_t uid, uint32_t gid);
int empty_bounding_set(void);
int drop_capabilities(void);
int forbid_new_privileges(void);
int forbid_inspection(void);
int forbid_executable_writes(void);

/* limits.c */
int close_other_descriptors(uint32_t first_unused);
int limit_resources(const rtw_lockdown *lockdown, int own_uid);

/* landlock.c */
int landlock_abi(uint32_t cap);
int restrict_files(int abi);

/* seccomp.c */
int restrict_system_calls(int strict);

#endif
