/* What a user's server sent, made into the data of an event. Pure. */
#ifndef GENERIC_PAYLOAD_H
#define GENERIC_PAYLOAD_H

#include "gateway-servers/generic/config.h"

struct generic_payload {
    struct gw_view data; /* of `text`, or the payload itself */
    const char *data_content_type;
    bool not_json; /* jsonBody was promised, and is not kept */
    struct gw_bytes text;
};

/* `payload` is borrowed as long as the result. -ENOMEM. */
int generic_payload_make(const struct generic_config *config, struct gw_view payload,
                         struct generic_payload *ret_payload) GW_MUST_CHECK;
void generic_payload_done(struct generic_payload *payload);

#endif
