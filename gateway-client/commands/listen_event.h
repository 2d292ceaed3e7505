/* The events of a request in whatever form they came, and how they look on a terminal or as JSON lines. */
#ifndef GWC_LISTEN_EVENT_H
#define GWC_LISTEN_EVENT_H

#include "common/cloudevent.h"

/* As gw_event_decode, and moreover: Argo's requests up to v0.11, and structured JSON that came without its Content-Type (as
 * v0.16 sent it). `*ret_form` names what it was, for people: "legacy", "structured without Content-Type", or "". */
int gwc_listen_decode(const struct gw_event_source_http *http,
                      int (*each)(void *user, const struct gw_event_fields *fields), void *user,
                      const char **ret_form, struct gw_reason *reason) GW_MUST_CHECK;

/* One CloudEvents 1.0 JSON object on one line, with its newline. */
int gwc_listen_write_json(struct gw_bytes *out, const struct gw_event_fields *fields) GW_MUST_CHECK;
/* For people; no byte of the event can steer the terminal. */
void gwc_listen_write_pretty(struct gw_bytes *out, const struct gw_event_fields *fields, const char *form,
                             bool color);

#endif
