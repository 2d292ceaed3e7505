/* One configuration of an event source, with the server that it goes to; a copy of its stream's own. */
#ifndef GWC_CONFIGURATION_H
#define GWC_CONFIGURATION_H

#include "gateway-client/spec/sources.h"
#include "gateway-client/stream/server.h"

struct gwc_configuration {
    struct gw_arena arena;
    struct gwc_source source;
    struct gwc_server *server; /* referenced */
    bool there;
};

/* Zero-initialised is none. The source is copied, the server referenced; what `copy` was before ends. */
int gwc_configuration_copy(struct gwc_configuration *copy, struct gwc_server *server,
                           const struct gwc_source *source) GW_MUST_CHECK;
void gwc_configuration_done(struct gwc_configuration *configuration);

#endif
