/* A client of the Kubernetes API server, on common/http.h. Nothing here blocks the loop, except gw_kube_open(), which reads
 * files. Loop thread only.
 *
 *     kube_config.[ch]  how to reach the server and who we are: in-cluster or kubeconfig (kube_user.c, kube_fields.c)
 *     kube_auth.c       the credentials of now: tokens that rotate, programs that print some (kube_exec.c)
 *     kube.c            one request: 401 → credentials anew, once more; errors in the API server's own words (kube_answer.c)
 *     kube_watch.[ch]   a collection, listed and watched for ever
 *
 * Facts: https://kubernetes.io/docs/reference/using-api/api-concepts/ */
#ifndef GW_KUBE_H
#define GW_KUBE_H

#include "common/http.h"

struct gw_kube;
struct gw_kube_call;

struct gw_kube_options {
    /* Colon-separated kubeconfig files, the first to set a value wins. NULL: in-cluster when KUBERNETES_SERVICE_HOST is set,
     * else $KUBECONFIG, else ~/.kube/config. */
    const char *kubeconfig;
    const char *context;   /* NULL: current-context */
    const char *component; /* "gateway-client": begins the User-Agent */
};

/* Reads the configuration; does not connect. -EINVAL, -ENOENT, -EACCES with words that name file, line and field, and
 * say what would be right. */
int gw_kube_open(struct gw_kube **ret_kube, struct gw_loop *loop, const struct gw_kube_options *options,
                 struct gw_reason *reason) GW_MUST_CHECK;
/* Ends its calls without their callbacks. Watches must be closed before. */
struct gw_kube *gw_kube_close(struct gw_kube *kube);
GW_DEFINE_CLEANUP(struct gw_kube *, gw_kube_close)

/* Of the context, or of the service account; "default" when neither says. */
const char *gw_kube_namespace(const struct gw_kube *kube);
const char *gw_kube_server(const struct gw_kube *kube); /* "https://10.0.0.1:443", for messages */
struct gw_loop *gw_kube_loop(const struct gw_kube *kube);

enum gw_kube_verb {
    GW_KUBE_GET,         /* get, list, watch */
    GW_KUBE_CREATE,      /* POST application/json */
    GW_KUBE_UPDATE,      /* PUT application/json */
    GW_KUBE_MERGE_PATCH, /* PATCH application/merge-patch+json, RFC 7386 */
    GW_KUBE_APPLY,       /* PATCH application/apply-patch+yaml; the query says fieldManager */
    GW_KUBE_DELETE
};

struct gw_kube_request {
    enum gw_kube_verb verb;
    const char *path;    /* "/api/v1/namespaces/shop/configmaps?limit=500": quoted already */
    struct gw_view body; /* JSON; borrowed until done() */
    int64_t timeout_ms;  /* 0: 30 s; -1: none */
    int64_t idle_ms;     /* as in gw_http_request */
    size_t answer_max;   /* 0: 64 MiB */
    void (*chunk)(void *user, struct gw_view bytes); /* as in gw_http_request */
};

struct gw_kube_answer {
    int status;         /* HTTP status; 0: no answer */
    const char *reason; /* of the Status object: "Forbidden", "NotFound", "Expired", …; "" when none */
    /* For people, one line: the API server's own words, or what is wrong with the connection; "" on 2xx.
     * A 403 names verb, resource and namespace, because the API server does. */
    const char *message;
    bool too_large; /* status 0: the object had more than answer_max bytes; for a list: ask for fewer */
    int64_t retry_after_ms; /* Retry-After, or details.retryAfterSeconds; -1: none */
    struct gw_view body;    /* borrowed during done() */
};

/* `done` is called exactly once, from the loop, never from within send, unless cancelled. Everything but the body is copied.
 * A 401 has the credentials read again (the exec plugin run again) and the request sent once more before `done`. */
int gw_kube_send(struct gw_kube *kube, const struct gw_kube_request *request,
                 void (*done)(void *user, const struct gw_kube_answer *answer), void *user,
                 struct gw_kube_call **ret_call) GW_MUST_CHECK; /* ret_call may be NULL */
void gw_kube_cancel(struct gw_kube_call *call);                 /* done() is not called */

/* Appends `text` percent-encoded for a path segment or a query value. */
void gw_kube_quote(struct gw_bytes *out, const char *text);
/* "2026-03-01T08:30:00.123456Z": MicroTime. */
void gw_kube_time(struct gw_bytes *out, int64_t realtime_ns);

#endif
