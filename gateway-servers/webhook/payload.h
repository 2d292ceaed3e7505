/* The data of an event that was a plain request: its body as it came (raw), or all of the request as JSON
 * (envelope):
 *
 *     {"header": {"Content-Type": ["application/json"], …},   canonical names in Go's style, sorted; without
 * Host and Transfer-Encoding; credentials are written as "***" "body": …, JSON as it came; null: empty; other
 * text as a string "isBase64Encoded": true,                              only then: body is neither JSON nor
 * text, but base64 of it "method": "POST", "path": "/orders/7",                the path as sent "query":
 * {"a": ["1", "2"]},                           decoded, each name once, in the order of the names
 *      "pathParameters": {"id": "7"}}                        decoded
 *
 * header and body are those of Argo Events v0.12 and later. */
#ifndef WEBHOOK_PAYLOAD_H
#define WEBHOOK_PAYLOAD_H

#include "gateway-servers/sdk/route.h"
#include "gateway-servers/webhook/auth.h"

/* A request in parts; borrowed. */
struct webhook_request {
    struct gw_event_source_http http; /* headers and body */
    const char *method, *path, *query;
    const struct gws_route *route;
};

struct webhook_pair {
    struct gw_view name, value;
    size_t order;
};

/* Writes envelopes, one after the other, into the same memory. Zero-initialised is empty. */
struct webhook_envelope {
    struct gw_bytes out, decoded;
    struct webhook_pair *pairs;
    size_t count, capacity;
    bool failed;
};
void webhook_envelope_done(struct webhook_envelope *envelope);
/* The view is good until the next write. -ENOMEM. */
int webhook_envelope_write(struct webhook_envelope *envelope, const struct webhook_request *request,
                           const struct webhook_auth *auth, struct gw_view *ret_json) GW_MUST_CHECK;

/* The first value of a name in a query, decoded, appended to `out`. False: not there, or its encoding is
 * wrong. */
bool webhook_query_value(struct gw_view query, struct gw_view name, struct gw_bytes *out);

#endif
