/* The Gateway spec: what a gateway is, read from a file or from the custom resource of the same shape. Argo's v0.11 and v0.16 fields are understood: type, processorPort, eventProtocol, watchers.sensors,
 * watchers.gateways, subscribers.http, eventSource, eventSourceRef; pod-shaping fields (template, service,
 * replica) are accepted and unused. */
#ifndef GWC_SPEC_H
#define GWC_SPEC_H

#include "common/cloudevent.h"
#include "common/fault.h"
#include "common/rpc.h"
#include "common/settings.h"

enum gwc_contract {
    GWC_CONTRACT_AUTO,
    GWC_CONTRACT_V1,
    GWC_CONTRACT_ARGO_011,
    GWC_CONTRACT_ARGO_016,
    GWC_CONTRACT_GENERIC
};
/* auto gateway.v1 argo-0.11 argo-0.16 generic; NULL-terminated, in enum order */
extern const char *const gwc_contract_names[];

struct gwc_server_spec {
    const char *type;
    const char *address;
    const char *contract_name;
    enum gwc_contract contract;
    struct gw_rpc_tls tls;
    int64_t keepalive_ns;
};

struct gwc_retry_spec {
    int64_t initial_ns, max_ns;
    double factor;
    int64_t deadline_ns;  /* of one delivery, from its first attempt; 0: none. After it: dead letter */
    int64_t attempts_max; /* 0: no limit */
};

enum gwc_transport { GWC_TRANSPORT_HTTP, GWC_TRANSPORT_GRPC };
/* Of one watcher: puts under way, and lines of metadata. */
enum { GWC_SINK_GRPC_CONCURRENCY_MAX = 60, GWC_SINK_GRPC_METADATA_MAX = 32 };

struct gwc_watcher_spec {
    const char *name; /* unique; names the cursor in the outbox */
    enum gwc_transport transport;
    const char *url;       /* grpc: made of the address */
    const char *address;   /* grpc: host:port or unix:/path */
    struct gw_rpc_tls tls; /* grpc */
    const char *mode_name;
    enum gw_event_mode mode;
    int64_t concurrency; /* requests in flight */
    int64_t batch_max;   /* events in a request, mode batch and grpc */
    int64_t timeout_ns;  /* of one attempt */
    struct gwc_retry_spec retry;
    struct gw_setting_pairs headers; /* grpc: metadata */
    struct gw_setting_secret bearer, username, password;
    const char *ca_file, *certificate_file, *key_file, *server_name;
    bool insecure_skip_verify;
    bool dead_letter; /* false: what is given up is dropped (and counted) */
};

struct gwc_outbox_spec {
    uint64_t size_max;    /* bytes of the file that hold something */
    int64_t retention_ns; /* delivered events are kept so long, for de-duplication and replay */
    bool fsync;
};

struct gwc_spec {
    struct gw_arena arena; /* everything here lives in it */
    const char *name, *namespace_;
    struct gwc_server_spec *servers;
    size_t servers_count;
    struct gwc_watcher_spec *watchers;
    size_t watchers_count;
    struct gwc_outbox_spec outbox;
    struct {
        const char *namespace_; /* NULL: not said, nor is the gateway's own */
        const char *name;       /* NULL: no ConfigMap is named */
    } event_source;
};

/* What Argo's environment says where a manifest does not. Process-wide, borrowed; NULL: Argo's own defaults, "default" and
 * "9300". A port of another form counts as none. */
void gwc_spec_set_defaults(const char *namespace_, const char *server_port);

/* Reads a Gateway manifest (YAML text). 0; verdict GWC_SPEC_BAD: problems say why, *ret_spec untouched; < 0
 * no memory. */
enum { GWC_SPEC_BAD = 1 };
int gwc_spec_read(struct gw_view text, struct gwc_spec **ret_spec,
                  struct gw_problems *problems) GW_MUST_CHECK;
/* The same for a Gateway as the API server writes it (JSON); its lines say nothing, so problems have none. */
int gwc_spec_read_object(struct gw_view json, struct gwc_spec **ret_spec,
                         struct gw_problems *problems) GW_MUST_CHECK;
struct gwc_spec *gwc_spec_free(struct gwc_spec *spec);
GW_DEFINE_CLEANUP(struct gwc_spec *, gwc_spec_free)

/* The fields of `spec`, as a Markdown table for docs/configuration.md. */
void gwc_spec_markdown(struct gw_bytes *out);
/* The fields of `spec`, as the schema of the custom resource, all of it `indent` columns in. */
void gwc_spec_openapi(int indent, struct gw_bytes *out);

/* The server of this type; NULL: none. */
const struct gwc_server_spec *gwc_spec_server(const struct gwc_spec *spec, const char *type);

bool gwc_server_spec_equal(const struct gwc_server_spec *a, const struct gwc_server_spec *b);
bool gwc_watcher_spec_equal(const struct gwc_watcher_spec *a, const struct gwc_watcher_spec *b);

#endif
