/* What the rooms of the HTTP client know of each other: http.c (the multi handle on the loop), http_target.c
 * (what stays the same from request to request), http_call.c (one request). Nobody else includes this. */
#ifndef GW_HTTP_PARTS_H
#define GW_HTTP_PARTS_H

#include "common/http.h"

#include <curl/curl.h>

struct gw_http {
    struct gw_loop *loop;
    CURLM *multi;
    struct gw_timer *timer;
    struct http_socket **sockets; /* by descriptor */
    size_t sockets_count;
    struct gw_http_target *targets;
    struct gw_http_call *finishing; /* the call whose done() runs */
    struct gw_http_call *telling;   /* the call whose chunk() runs; NULL as soon as that has ended it */
    struct gw_http_call *arrived;   /* streams with bytes to hand on */
    struct gw_timer *soon;          /* a call was broken off: reaped on the loop's next turn */
    bool broken;                    /* a call was */
    bool reaping;                   /* calls out may close us */
    bool closed;                    /* while reaping: freed when that is through */
};

struct gw_http_target {
    struct gw_http *http; /* NULL when that was closed first */
    struct gw_http_target *next, *previous;
    struct gw_http_call *busy, *idle;
    struct gw_arena arena; /* of the texts below */
    const char *url;
    const char *peer; /* "127.0.0.1:9300": begins each fault */
    const char *ca_file, *certificate_file, *key_file, *username, *password, *bearer, *proxy;
    struct gw_view ca_pem, certificate_pem, key_pem;
    struct curl_slist *headers, *connect_to;
    int64_t timeout_ms, connect_timeout_ms;
    bool tls, insecure, direct; /* direct: past the proxies of the environment */
};

struct gw_http_call {
    struct gw_http_target *target; /* NULL: the target was closed while done() runs */
    struct gw_http_call *next, *previous;
    CURL *easy;
    void (*done)(void *user, const struct gw_http_answer *answer);
    void (*chunk)(void *user, struct gw_view bytes);
    void *user;
    struct curl_slist *nodes; /* of the request's own headers; the last one leads to the target's */
    size_t nodes_count;
    struct gw_bytes header_text, url, answer;
    uint64_t answer_size; /* also what was not kept */
    size_t answer_max;
    int64_t timeout_ms;     /* as the handle has it; 0: none */
    struct gw_timer *quiet; /* of idle_ms; made for the first request that has one */
    int64_t idle_ms, heard_ms;
    uint64_t heard_bytes;
    struct gw_http_call *arrived_next;
    bool arrived;   /* is in the client's list */
    bool timed_out; /* by idle_ms */
    bool broken;    /* off before curl was through with it; `error` says why */
    enum gw_http_method method;
    bool prepared, with_body, with_path;
    char error[CURL_ERROR_SIZE];
};

/* http.c: sockets that curl opens and closes are told to the loop's side. */
curl_socket_t http_socket_open(void *http, curlsocktype purpose, struct curl_sockaddr *address);
int http_socket_close(void *http, curl_socket_t descriptor);

/* Something is to be reaped that curl does not know of. */
void http_soon(struct gw_http *http);

/* http_target.c */
bool http_header_valid(const char *line);
/* As curl wants it: an empty value is written "Name;", or curl would leave the header out. NUL-terminated. */
void http_header_append(struct gw_bytes *text, const char *line);
/* Sets all that a target's requests have in common. */
bool http_target_apply(const struct gw_http_target *target, CURL *easy);
/* When one request reads the frames that reset another one's HTTP/2 stream, curl 7.88 can leave that other
 * without a socket or a timer: it would hang until its timeout. This has curl look at each again. */
void http_target_wake_calls(struct gw_http_target *target);
/* Ends all calls, without their callbacks. */
void http_target_end_calls(struct gw_http_target *target);

/* http_call.c */
/* Ends a call with these words, on the loop's next turn. Allowed within curl's callbacks. */
void http_call_break(struct gw_http_call *call, const char *words);
/* Hands on what has come of streams. */
void http_calls_tell(struct gw_http *http);
/* Off the multi handle already: calls done(), keeps the call for the target's next request. */
void http_call_finish(struct gw_http *http, struct gw_http_call *call, CURLcode result);
struct gw_http_call *http_call_free(struct gw_http_call *call);
/* Nobody waits for it any more: off all lists. */
void http_call_unlink(struct gw_http_call *call);

#endif
