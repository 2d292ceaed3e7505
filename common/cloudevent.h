/* A CloudEvent, and its forms over HTTP. CloudEvents 1.0.2, its JSON event format and HTTP protocol binding; and the forms
 * that Argo Events sent: before 0.12 ("legacy"), 0.12 to 0.15 (0.3 binary), 0.16 (0.3 JSON without content type). */
#ifndef GW_CLOUDEVENT_H
#define GW_CLOUDEVENT_H

#include "common/bytes.h"
#include "common/fault.h"

enum {
    GW_EVENT_ATTRIBUTE_MAX = 65536, /* bytes of one attribute */
    GW_EVENT_NAME_MAX = 64,         /* bytes of the name of an extension */
    GW_EVENT_EXTENSIONS_MAX = 64,   /* extensions of one event */
};

/* kinds of attribute values that JSON tells apart; over HTTP binary all are text */
enum gw_extension_kind { GW_EXTENSION_TEXT, GW_EXTENSION_BOOL, GW_EXTENSION_INTEGER };
struct gw_extension {
    struct gw_view name;  /* a-z 0-9 */
    struct gw_view value; /* as text */
    enum gw_extension_kind kind;
};

/* The fields of an event, all borrowed; an empty view is an absent attribute, a time of 0 an absent time. */
struct gw_event_fields {
    struct gw_view id, source, type;
    struct gw_view subject, data_content_type, data_schema, partition_key;
    int64_t time_ns;
    struct gw_view data;
    const struct gw_extension *extensions;
    size_t extensions_count;
    /* for the legacy forms */
    struct gw_view gateway;      /* name of the gateway */
    struct gw_view event_source; /* name of the event source */
    struct gw_view kind;         /* type of the event source: "webhook" */
};

/* An event that threads pass around: immutable, one allocation, counted. */
struct gw_event {
    struct gw_event_fields fields; /* point into the same allocation */
    uint64_t sequence;             /* in the outbox; written before it is shared */
    int64_t accepted_ns;           /* realtime, when committed; written before it is shared */
    size_t size;                   /* bytes it occupies, for limits */
    int references;                /* atomic */
};
struct gw_event *
gw_event_new(const struct gw_event_fields *fields) GW_MUST_CHECK; /* copies; NULL without memory */
struct gw_event *gw_event_ref(struct gw_event *event);
struct gw_event *gw_event_unref(struct gw_event *event);
GW_DEFINE_CLEANUP(struct gw_event *, gw_event_unref)

/* Required attributes there and well-formed, names of extensions legal. False with words. */
bool gw_event_check(const struct gw_event_fields *fields, struct gw_reason *reason);
/* What the check asks of a text that goes into an attribute, and of datacontenttype (RFC 2046). Not of empty ones. */
bool gw_event_text_legal(struct gw_view text);
bool gw_event_media_type_legal(struct gw_view text);
/* application/json, text/json, application/vnd.acme+json, with or without parameters. */
bool gw_event_media_json(struct gw_view media_type);

enum gw_event_mode {
    GW_EVENT_STRUCTURED,
    GW_EVENT_BINARY,
    GW_EVENT_BATCH,
    GW_EVENT_LEGACY,         /* Argo up to v0.11: {"context": …, "payload": base64} */
    GW_EVENT_LEGACY_03,      /* Argo v0.12 to v0.15: CloudEvents 0.3 binary */
    GW_EVENT_LEGACY_03_JSON, /* Argo v0.16: CloudEvents 0.3 structured, no Content-Type */
};
/* structured binary batch legacy legacy-0.3 legacy-0.3-json; NULL-terminated, in enum order. */
extern const char *const gw_event_mode_names[];

/* The request that carries the event: body appended to `body`, header lines ("Name: value", each NUL-terminated, one behind
 * another) to `headers`, `*ret_headers_count` of them. A body that is the data itself (binary) is not copied: *ret_body
 * then points to the event's data, otherwise to `body`. No Content-Type line means: send none. -ENOMEM. */
int gw_event_encode(const struct gw_event *const *events, size_t count, enum gw_event_mode mode,
                    struct gw_bytes *headers, size_t *ret_headers_count, struct gw_bytes *body,
                    struct gw_view *ret_body) GW_MUST_CHECK;

/* A CloudEvent that came in by HTTP. Header lookup is handed in. */
struct gw_event_source_http {
    const char *(*header)(const void *request, const char *name);
    void (*headers)(const void *request, void (*each)(void *user, const char *name, const char *value),
                    void *user);
    const void *request;
    struct gw_view body;
};
/* Calls `each` for every event of the request; fields are borrowed during the call. Structured and batch keep numbers of
 * `data` as written. Verdicts: GW_EVENT_NOT: the request is not a CloudEvent; GW_EVENT_BAD: it is one, but wrong: `reason`
 * says what (nothing was passed to `each`); GW_EVENT_FORMAT: structured in a format we do not know (415).
 * A negative return of `each` ends the walk and is passed up. Accepts specversion 1.0 and 0.3. */
enum { GW_EVENT_NOT = 1, GW_EVENT_BAD = 2, GW_EVENT_FORMAT = 3 };
int gw_event_decode(const struct gw_event_source_http *http,
                    int (*each)(void *user, const struct gw_event_fields *fields), void *user,
                    struct gw_reason *reason) GW_MUST_CHECK;

#endif
