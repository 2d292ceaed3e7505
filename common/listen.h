/* HTTP server: libmicrohttpd on the loop (why not libwebsockets: docs/decisions). HTTP/1.1, TLS optional. Loop thread only.
 *
 * A request is seen twice: `headers` when its head is read, to refuse it before a body is sent, and `complete` when the
 * body is there. Either may reply; `complete` may also keep the request and reply later, from the loop. */
#ifndef GW_LISTEN_H
#define GW_LISTEN_H

#include "common/bytes.h"
#include "common/fault.h"
#include "common/loop.h"

struct gw_listener;
struct gw_request;

struct gw_listener_hooks {
    /* The head is read. Return the largest body to take, in bytes, or -1 after having replied. NULL: 1 MiB. */
    int64_t (*headers)(void *user, struct gw_request *request);
    /* The whole request is read: reply now or later. A larger body than allowed was answered 413 before
     * (at once if its size was announced, else after reading it; a sender that is over by more than 1 MiB is cut). */
    void (*complete)(void *user, struct gw_request *request);
    /* The request is over (replied, or the peer went away before): its pointer is dead after this. May be NULL. */
    void (*ended)(void *user, struct gw_request *request);
    /* For the log: a changed certificate that cannot be used (the one before stays). May be NULL. */
    void (*warn)(void *user, const char *text);
};

struct gw_listener_options {
    const char *address; /* "127.0.0.1", "0.0.0.0", "::1", …; NULL or "::": all of IPv4 and IPv6 */
    uint16_t port;       /* 0: the system chooses, see gw_listener_port() */
    const char *certificate_file, *key_file; /* both or neither: TLS. Re-read when the files change */
    int64_t
        idle_timeout_ms; /* 0: 60 s: to wait for a request, to receive the whole of it, and for a reader of the
                                  * answer to go on; then the connection is cut. Waiting for a reply is not limited */
    size_t header_size_max; /* 0: 32 KiB; more is answered 431 */
    size_t connections_max; /* 0: 1,000; more wait until one is over */
};

/* "127.0.0.1:9301", "[::1]:9301", "localhost:9301", ":9301" (all addresses: `address` is "") in its two parts.
 * -EINVAL with words. */
enum { GW_ADDRESS_MAX = 64 };
int gw_address_split(const char *text, char address[static GW_ADDRESS_MAX], uint16_t *ret_port,
                     struct gw_reason *reason) GW_MUST_CHECK;

/* -EADDRINUSE, -EACCES, -EADDRNOTAVAIL, -EINVAL (address, certificate), with words. */
int gw_listener_open(struct gw_listener **ret_listener, struct gw_loop *loop,
                     const struct gw_listener_options *options, const struct gw_listener_hooks *hooks,
                     void *user, struct gw_reason *reason) GW_MUST_CHECK;
/* Stops listening; requests that still wait for a reply are answered 503, all that hooks have seen get their `ended`
 * before this returns. May be called in a hook, which must not touch its request afterwards. */
struct gw_listener *gw_listener_close(struct gw_listener *listener);
GW_DEFINE_CLEANUP(struct gw_listener *, gw_listener_close)
uint16_t gw_listener_port(const struct gw_listener *listener);

/* Of a request: borrowed until it ended. */
const char *gw_request_method(const struct gw_request *request);
const char *gw_request_path(const struct gw_request *request);  /* as sent, undecoded, without the query */
const char *gw_request_query(const struct gw_request *request); /* as sent, without '?'; "" */
const char *gw_request_header(const struct gw_request *request, const char *name); /* NULL: absent */
void gw_request_headers(const struct gw_request *request,
                        void (*each)(void *user, const char *name, const char *value), void *user);
struct gw_view gw_request_body(const struct gw_request *request);
/* The peer's address, "127.0.0.1:40422". */
const char *gw_request_peer(const struct gw_request *request);
/* Anything of the caller's, kept with the request. */
void gw_request_set_user(struct gw_request *request, void *user);
void *gw_request_user(const struct gw_request *request);

/* Answers; once a request, a second answer is ignored. `headers`: "Name: value" lines ended by NULL, or NULL.
 * Everything is copied. Content-Type of a body goes into `headers`. */
void gw_request_reply(struct gw_request *request, int status, const char *const *headers,
                      struct gw_view body);
/* application/problem+json (RFC 9457): {"status", "title", "detail"}. */
void gw_request_problem(struct gw_request *request, int status, const char *const *headers,
                        const char *format, ...) GW_PRINTF(4, 5);

#endif
