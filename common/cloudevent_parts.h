/* What the files of the CloudEvent share, and nobody else needs. */
#ifndef GW_CLOUDEVENT_PARTS_H
#define GW_CLOUDEVENT_PARTS_H

#include "common/cloudevent.h"

/* a-z 0-9, not empty, within GW_EVENT_NAME_MAX. */
bool gw_event_name_legal(struct gw_view name);

/* The forms of Argo: the same promises as gw_event_encode, for one event. */
void gw_event_encode_legacy(const struct gw_event_fields *fields, struct gw_bytes *headers,
                            size_t *ret_headers_count, struct gw_bytes *body);
void gw_event_encode_legacy_03(const struct gw_event_fields *fields, struct gw_bytes *headers,
                               size_t *ret_headers_count, struct gw_bytes *body, bool *ret_body_is_data);
void gw_event_encode_legacy_03_json(const struct gw_event_fields *fields,
                                    struct gw_bytes *body); /* no headers */

/* A header line: "Name: " and the rest, which the caller appends and ends by gw_event_header_end(). */
static inline void gw_event_header_end(struct gw_bytes *headers, size_t *count)
{
    gw_bytes_append_char(headers, '\0');
    ++*count;
}

#endif
