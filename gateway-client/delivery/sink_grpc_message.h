/* The messages of gateway.v1.Sink, written and read. Pure. */
#ifndef GWC_SINK_GRPC_MESSAGE_H
#define GWC_SINK_GRPC_MESSAGE_H

#include "common/bytes.h"
#include "common/cloudevent.h"
#include "proto/gateway/v1/sink.pb-c.h"

/* A PutRequest whose texts live in the arena or in the events. NULL: no memory. */
Gateway__V1__PutRequest *gwc_sink_put(struct gw_arena *arena, uint64_t number, struct gw_event *const *events,
                                      size_t count) GW_MUST_CHECK;

#endif
