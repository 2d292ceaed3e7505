/* What the rooms of the loop know of each other: loop.c (loop, tasks, timers, descriptors, directories, signals) and
 * loop_child.c (programs). Nobody else includes this. */
#ifndef GW_LOOP_PARTS_H
#define GW_LOOP_PARTS_H

#include "common/loop.h"

#include <uv.h>

uv_loop_t *loop_uv(struct gw_loop *loop);
/* Of a handle whose `data` points to the start of its own allocation: that is freed when libuv is through with it. */
void loop_handle_close(uv_handle_t *handle);

#endif
