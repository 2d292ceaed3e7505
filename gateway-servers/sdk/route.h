/* Paths of endpoints, and the table that finds whose endpoint a request is for. Pure: nothing here touches
 * the network.
 *
 * An endpoint is "/orders/{id}": literal segments, and variables that take one whole, non-empty segment. A
 * trailing slash counts. Where several endpoints fit a request, the one that is literal at the first
 * difference wins; methods belong to the match: GET /orders/{id} is found for GET /orders/new although only
 * POST /orders/new is literal. */
#ifndef GWS_ROUTE_H
#define GWS_ROUTE_H

#include "common/bytes.h"
#include "common/fault.h"

enum { GWS_PATH_SEGMENTS_MAX = 32, GWS_PATH_VARIABLES_MAX = 8, GWS_PATH_SIZE_MAX = 2048 };

/* ---- methods: a set of bits ---- */

/* GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT TRACE; NULL-terminated, in the order of their bits. */
extern const char *const gws_method_names[];
enum { GWS_METHOD_OPTIONS = 1 << 6 };
/* The bit of a method, matched exactly as HTTP does; 0: none of ours. */
unsigned gws_method_bit(const char *name);
/* "GET, POST": the value of an Allow header. */
void gws_methods_write(struct gw_bytes *out, unsigned methods);

/* ---- endpoints ---- */

struct gws_path_segment {
    struct gw_view text; /* the literal, or the name of the variable */
    bool variable;
};
struct gws_path {
    const char *text; /* as configured, with its leading slash */
    size_t count, variables_count;
    struct gws_path_segment segments[GWS_PATH_SEGMENTS_MAX];
};

/* Reads an endpoint; a missing leading slash is added. -EINVAL with words, -ENOMEM. Free with
 * gws_path_free(). */
int gws_path_new(struct gws_path **ret_path, const char *endpoint, struct gw_reason *reason) GW_MUST_CHECK;
struct gws_path *gws_path_free(struct gws_path *path);
GW_DEFINE_CLEANUP(struct gws_path *, gws_path_free)
/* The same shape: the names of variables do not matter. */
bool gws_path_same(const struct gws_path *a, const struct gws_path *b);

/* ---- the table ---- */

struct gws_routes;

struct gws_routes *gws_routes_new(void); /* NULL without memory */
struct gws_routes *gws_routes_free(struct gws_routes *routes);
GW_DEFINE_CLEANUP(struct gws_routes *, gws_routes_free)

/* Adds `owner` for these methods of the path (borrowed until removed). Two owners may claim the same: the
 * newer one is found first; whoever cares asks gws_routes_owners() before. */
int gws_routes_add(struct gws_routes *routes, const struct gws_path *path, unsigned methods,
                   void *owner) GW_MUST_CHECK;
void gws_routes_remove(struct gws_routes *routes, const struct gws_path *path, const void *owner);
/* Calls `each` with every owner of a path of this shape (the names of variables do not matter) and one of the
 * methods. */
void gws_routes_owners(const struct gws_routes *routes, const struct gws_path *path, unsigned methods,
                       void (*each)(void *user, void *owner), void *user);

struct gws_route {
    void *owner;
    const struct gws_path *path;
    struct gw_view values[GWS_PATH_VARIABLES_MAX]; /* of the variables, in order, percent-decoded */
    unsigned methods;                              /* METHOD: those that the path has */
};
/* Finds the owner. Values are borrowed from `path`, or from `scratch` (cleared by this call) when something
 * had to be decoded. Verdicts: NONE no such path; METHOD the path is there, but not for this method; BAD the
 * percent-encoding is wrong. */
enum { GWS_ROUTE_NONE = 1, GWS_ROUTE_METHOD = 2, GWS_ROUTE_BAD = 3 };
int gws_routes_match(const struct gws_routes *routes, const char *method, struct gw_view path,
                     struct gw_bytes *scratch, struct gws_route *ret_route) GW_MUST_CHECK;

/* The value of a variable; empty when the path has none of that name. */
struct gw_view gws_route_value(const struct gws_route *route, struct gw_view name);

#endif
