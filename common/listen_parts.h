/* What the rooms of the HTTP server know of each other: listen.c (listeners), listen_request.c (requests),
 * listen_address.c (sockets). Nobody else includes this. */
#ifndef GW_LISTEN_PARTS_H
#define GW_LISTEN_PARTS_H

#include "common/listen.h"
#include "common/listen_tls.h"

#include <microhttpd.h>

struct gw_listener {
    struct gw_loop *loop;
    struct gw_listener_hooks hooks;
    void *user;
    struct MHD_Daemon *daemon;
    struct gw_poll *poll;
    struct gw_timer *timer;    /* when libmicrohttpd wants to run */
    struct gw_timer *deadline; /* of the oldest request that is being received */
    int64_t timer_at_ms;       /* -1: not started */
    bool deadline_started;
    struct gw_request *requests;             /* one a connection */
    struct gw_request *due_first, *due_last; /* those that wait for bytes, the oldest first */
    struct MHD_Response *empty;
    struct listen_tls *tls;
    int64_t idle_timeout_ms;
    size_t header_size_max;
    uint16_t port;
    bool running, closing;
    bool again; /* something was resumed while libmicrohttpd ran */
};

/* A connection takes one request after the other; this is the place for the present one. */
enum request_stage { REQUEST_NONE, REQUEST_HEAD, REQUEST_BODY, REQUEST_COMPLETE };

struct gw_request {
    struct gw_listener *listener;
    struct MHD_Connection *connection;
    struct gw_request *next, *previous;
    struct gw_request *due_next, *due_previous;
    int64_t due_ms; /* 0: not in the list */
    enum request_stage stage;
    bool shown;             /* to a hook: it is told the end */
    bool replied;           /* the answer is in status and response, or on its way */
    bool suspended;         /* complete, and the reply is still to come */
    struct gw_bytes target; /* path NUL query NUL */
    struct gw_bytes body;
    const char *method, *query;
    int64_t body_max;
    size_t dropped;
    struct MHD_Response *response;
    int status;
    struct listen_pair *certificate;
    void *user;
    char peer[64];
};

/* listen.c: all that is resumed in one turn of the loop is served together, in the next. */
void listener_run_soon(struct gw_listener *listener);

/* listen_request.c: libmicrohttpd's callbacks, `listener` is the closure of each. */
void request_on_connection(void *listener, struct MHD_Connection *connection, void **socket_context,
                           enum MHD_ConnectionNotificationCode what);
void *request_on_target(void *listener, const char *target, struct MHD_Connection *connection);
enum MHD_Result request_on_call(void *listener, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *data, size_t *data_size,
                                void **request);
void request_on_completed(void *listener, struct MHD_Connection *connection, void **request,
                          enum MHD_RequestTerminationCode how);
/* The listener closes: replies 503 where a reply is awaited, tells the hooks the end. */
void request_dismiss(struct gw_request *request);
/* Cuts the connections whose deadline has passed; returns the wait to the next deadline, -1: none. */
int64_t request_cut_late(struct gw_listener *listener, int64_t now_ms);

/* listen_address.c: a bound, listening socket and its port. */
int address_listen(int *ret_descriptor, uint16_t *ret_port, const char *address, uint16_t port,
                   struct gw_reason *reason) GW_MUST_CHECK;

#endif
