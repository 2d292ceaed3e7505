/* The admin address of every program: /healthz, /livez, /readyz, /metrics, and JSON pages of its own. Loop thread only.
 *
 * A POST must be application/json, so that no form on a foreign web page can send one; and where it comes from a
 * browser (it has an Origin), only from a page of this very address, called by an IP address or localhost: a foreign
 * page cannot be that, also not by a name that it makes point here. */
#ifndef GW_ADMIN_H
#define GW_ADMIN_H

#include "common/listen.h"
#include "common/metrics.h"

struct gw_admin;

struct gw_admin_page {
    const char *method; /* "GET", "POST" */
    const char *path;   /* exact */
    /* Writes the JSON answer into `out` and returns the HTTP status. `query` as sent. A GET page answers HEAD too. */
    int (*answer)(void *user, const char *query, struct gw_view body, struct gw_bytes *out);
};

struct gw_admin_options {
    const char *
        address; /* "127.0.0.1:9301", "[::1]:9301", ":9301"; port 0: the system chooses; the default of the program's --admin flag; "none" is for the caller */
    struct gw_metrics *metrics; /* borrowed */
    /* Ready? False with words, which become the body of the 503. True with words when there is something to say all the
     * same, behind "ok: ". NULL: always ready. */
    bool (*ready)(void *user, struct gw_reason *reason);
    const struct gw_admin_page *pages; /* ended by a NULL path; NULL: none. Borrowed */
    void *user;
};
int gw_admin_open(struct gw_admin **ret_admin, struct gw_loop *loop, const struct gw_admin_options *options,
                  struct gw_reason *reason) GW_MUST_CHECK;
struct gw_admin *gw_admin_close(struct gw_admin *admin);
GW_DEFINE_CLEANUP(struct gw_admin *, gw_admin_close)
uint16_t gw_admin_port(const struct gw_admin *admin);

#endif
