/* HTTP client: libcurl's multi interface on the loop. Connections are kept and reused; nothing blocks.
 * HTTP/1.1 on http://, HTTP/2 by ALPN on https://. TLS is verified unless a target says otherwise. Loop thread only.
 * A peer that has gone without a word is noticed after a minute, by TCP itself. */
#ifndef GW_HTTP_H
#define GW_HTTP_H

#include "common/bytes.h"
#include "common/fault.h"
#include "common/loop.h"

struct gw_http;        /* the multi handle with its connections */
struct gw_http_target; /* one URL with all that stays the same from request to request */
struct gw_http_call;   /* one request under way */

int gw_http_open(struct gw_http **ret_http, struct gw_loop *loop, size_t connections_max) GW_MUST_CHECK;
struct gw_http *gw_http_close(struct gw_http *http); /* calls under way end without their callback */
GW_DEFINE_CLEANUP(struct gw_http *, gw_http_close)

/* Everything is copied. NULL or 0 where not wanted. */
struct gw_http_options {
    const char *url; /* http:// or https:// (also http+unix://%2Fpath/… is refused: not supported) */
    const char *const *headers; /* "Name: value", ended by NULL; sent with each request */
    int64_t timeout_ms;         /* of the whole request; 0: 30 s */
    int64_t connect_timeout_ms; /* 0: 10 s */
    const char *ca_file, *certificate_file, *key_file;
    const char *server_name;         /* TLS name to expect instead of the URL's host */
    bool insecure;                   /* do not verify: said loudly by whoever sets it */
    const char *username, *password; /* basic */
    const char *bearer;              /* token */
    /* PEM in memory instead of the files above; empty: none. Copied */
    struct gw_view ca_pem, certificate_pem, key_pem;
    const char *proxy; /* http://, https:// or socks5:// URL of a proxy; NULL: none */
    bool
        proxy_of_environment; /* without `proxy`: what https_proxy, http_proxy and no_proxy say; never to loopback */
};
/* -EINVAL with words: the URL is not one, or a file cannot be read. */
int gw_http_target_open(struct gw_http_target **ret_target, struct gw_http *http,
                        const struct gw_http_options *options, struct gw_reason *reason) GW_MUST_CHECK;
/* Cancels its calls without their callback. */
struct gw_http_target *gw_http_target_close(struct gw_http_target *target);
GW_DEFINE_CLEANUP(struct gw_http_target *, gw_http_target_close)

enum gw_http_method {
    GW_HTTP_GET,
    GW_HTTP_POST,
    GW_HTTP_PUT,
    GW_HTTP_PATCH,
    GW_HTTP_DELETE,
    GW_HTTP_OPTIONS
};

struct gw_http_request {
    enum gw_http_method method;
    const char *path;           /* appended to the target's URL; NULL: nothing */
    const char *const *headers; /* as in options, added to those; borrowed until send returns */
    struct gw_view body;        /* borrowed until done() */
    int64_t timeout_ms; /* of this request; 0: the target's; -1: none, for a stream that is meant to last */
    int64_t idle_ms;    /* no byte for so long ends it with a fault; 0: no such limit */
    size_t answer_max;  /* bytes of the body that are kept; 0: GW_HTTP_ANSWER_MAX */
    /* Not NULL: the body of a 2xx answer is handed here as it comes, in pieces of any size, and not kept; other answers are
     * kept as ever. Called from the loop before done(), with its user. Everything may be done from within: send, cancel
     * this call or another, close the target or the client. */
    void (*chunk)(void *user, struct gw_view bytes);
};

/* Which kind of fault, where a caller can do something about it. */
enum gw_http_failure { GW_HTTP_NO_FAILURE, GW_HTTP_FAILED, GW_HTTP_TIMED_OUT, GW_HTTP_UNTRUSTED };

struct gw_http_answer {
    int status;        /* HTTP status; 0: there was none, see `fault` */
    const char *fault; /* in words, with the host: "127.0.0.1:9300: connection refused"; "" when status > 0 */
    enum gw_http_failure failure;
    int64_t retry_after_ms; /* of Retry-After (seconds or HTTP date); -1: none */
    struct gw_view body;    /* at most answer_max bytes are kept; borrowed during done() */
    bool truncated; /* there were more, or the connection ended in the body of a refusal (status >= 400) */
    struct gw_view content_type;
    int64_t took_ms;
};
#define GW_HTTP_ANSWER_MAX ((size_t)1 << 20)

/* `done` is called exactly once, from the loop, never from within send. Redirects are not followed. -ENOMEM; -EINVAL: a header
 * that is none; -ESHUTDOWN: the client was closed before the target. */
int gw_http_send(struct gw_http_target *target, const struct gw_http_request *request,
                 void (*done)(void *user, const struct gw_http_answer *answer), void *user,
                 struct gw_http_call **ret_call) GW_MUST_CHECK; /* ret_call may be NULL */
void gw_http_cancel(struct gw_http_call *call);                 /* done() is not called */

#endif
