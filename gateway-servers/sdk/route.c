/* Routes: a tree of path segments; literal children sorted, one child for a variable. */
#include "gateway-servers/sdk/route.h"

#include "common/text.h"

#include <stdlib.h>

const char *const gws_method_names[] = {"GET",    "HEAD",    "POST",    "PUT",   "PATCH",
                                        "DELETE", "OPTIONS", "CONNECT", "TRACE", NULL};

unsigned gws_method_bit(const char *name)
{
    for (unsigned i = 0; gws_method_names[i] != NULL; i++)
        if (strcmp(gws_method_names[i], name) == 0)
            return 1U << i;
    return 0;
}

void gws_methods_write(struct gw_bytes *out, unsigned methods)
{
    const char *between = "";

    for (unsigned i = 0; gws_method_names[i] != NULL; i++) {
        if ((methods & 1U << i) == 0)
            continue;
        gw_bytes_append_text(out, between);
        gw_bytes_append_text(out, gws_method_names[i]);
        between = ", ";
    }
}

/* ---- endpoints ---- */

static bool path_name_good(struct gw_view name)
{
    for (size_t i = 0; i < name.size; i++) {
        char byte = name.data[i];
        bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_';
        bool digit = byte >= '0' && byte <= '9';

        if (!letter && !(i > 0 && (digit || byte == '-')))
            return false;
    }
    return name.size > 0;
}

static bool path_has_name(const struct gws_path *path, struct gw_view name)
{
    for (size_t i = 0; i < path->count; i++)
        if (path->segments[i].variable && gw_view_equal(path->segments[i].text, name))
            return true;
    return false;
}

static int path_add_segment(struct gws_path *path, struct gw_view text, struct gw_reason *reason)
{
    struct gws_path_segment segment = {.text = text};

    if (path->count == GWS_PATH_SEGMENTS_MAX)
        return GW_REFUSE(-EINVAL, reason, "more than %d segments", GWS_PATH_SEGMENTS_MAX);
    if (text.size > 2 && text.data[0] == '{' && text.data[text.size - 1] == '}') {
        segment.variable = true;
        segment.text = gw_view(text.data + 1, text.size - 2);
        if (!path_name_good(segment.text))
            return GW_REFUSE(-EINVAL, reason, "\"%.*s\": the name of a variable is letters, digits, _ and -",
                             (int)text.size, text.data);
        if (path_has_name(path, segment.text))
            return GW_REFUSE(-EINVAL, reason, "\"%.*s\": this variable is there twice", (int)text.size,
                             text.data);
        if (path->variables_count == GWS_PATH_VARIABLES_MAX)
            return GW_REFUSE(-EINVAL, reason, "more than %d variables", GWS_PATH_VARIABLES_MAX);
        path->variables_count++;
    } else if (memchr(text.data, '{', text.size) != NULL || memchr(text.data, '}', text.size) != NULL) {
        return GW_REFUSE(-EINVAL, reason, "\"%.*s\": a variable is a whole segment, as in /orders/{id}",
                         (int)text.size, text.data);
    }
    path->segments[path->count++] = segment;
    return 0;
}

static int path_check_text(const char *text, struct gw_reason *reason)
{
    struct gw_view view = gw_view_text(text);

    if (view.size == 0)
        return GW_REFUSE(-EINVAL, reason, "empty: write a path such as /orders");
    if (view.size > GWS_PATH_SIZE_MAX)
        return GW_REFUSE(-EINVAL, reason, "longer than %d bytes", GWS_PATH_SIZE_MAX);
    if (!gw_utf8_valid(view))
        return GW_REFUSE(-EINVAL, reason, "not UTF-8");
    for (size_t i = 0; i < view.size; i++) {
        if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
            return GW_REFUSE(-EINVAL, reason, "a path has no spaces or control characters");
        if (text[i] == '?' || text[i] == '#')
            return GW_REFUSE(-EINVAL, reason, "a path has no \"%c\": queries are not part of it", text[i]);
    }
    return 0;
}

int gws_path_new(struct gws_path **ret_path, const char *endpoint, struct gw_reason *reason)
{
    GW_AUTO(gws_path_freep) struct gws_path *path = NULL;
    char *text = NULL;

    GW_TRY(path_check_text(endpoint, reason));
    path = calloc(1, sizeof(*path));
    text = malloc(strlen(endpoint) + 2);
    if (path == NULL || text == NULL) {
        free(text);
        return GW_RAISE(-ENOMEM);
    }
    path->text = text;
    if (endpoint[0] != '/')
        *text++ = '/';
    memcpy(text, endpoint, strlen(endpoint) + 1);

    for (const char *start = path->text + 1, *end = NULL;; start = end + 1) {
        end = strchrnul(start, '/');
        GW_TRY(path_add_segment(path, gw_view(start, (size_t)(end - start)), reason));
        if (*end == '\0')
            break;
    }
    *ret_path = GW_TAKE(path);
    return 0;
}

struct gws_path *gws_path_free(struct gws_path *path)
{
    if (path != NULL)
        free((void *)(uintptr_t)path->text);
    free(path);
    return NULL;
}

bool gws_path_same(const struct gws_path *a, const struct gws_path *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct gws_path_segment *one = &a->segments[i], *other = &b->segments[i];

        if (one->variable != other->variable || (!one->variable && !gw_view_equal(one->text, other->text)))
            return false;
    }
    return true;
}

/* ---- the table ---- */

struct route_claim {
    struct route_claim *next;
    const struct gws_path *path;
    unsigned methods;
    void *owner;
};

struct route_node {
    char *segment; /* owned; the root and variables have none */
    size_t segment_size;
    struct route_node **children; /* literal ones, sorted */
    size_t children_count, children_capacity;
    struct route_node *variable;
    struct route_claim *claims;
};

struct gws_routes {
    struct route_node root;
};

static void node_free(struct route_node *node);

static void node_done(struct route_node *node)
{
    for (size_t i = 0; i < node->children_count; i++)
        node_free(node->children[i]);
    node_free(node->variable);
    for (struct route_claim *claim = node->claims, *next = NULL; claim != NULL; claim = next) {
        next = claim->next;
        free(claim);
    }
    free(node->children);
    free(node->segment);
}

static void node_free(struct route_node *node)
{
    if (node != NULL)
        node_done(node);
    free(node);
}

struct gws_routes *gws_routes_new(void)
{
    return calloc(1, sizeof(struct gws_routes));
}

struct gws_routes *gws_routes_free(struct gws_routes *routes)
{
    if (routes != NULL)
        node_done(&routes->root);
    free(routes);
    return NULL;
}

static int node_compare(const struct route_node *node, struct gw_view segment)
{
    size_t size = GW_MIN(node->segment_size, segment.size);
    int difference = size == 0 ? 0 : memcmp(node->segment, segment.data, size);

    return difference != 0 ? difference
                           : (node->segment_size > segment.size) - (node->segment_size < segment.size);
}

/* Where the literal child is, or would be. */
static size_t node_place(const struct route_node *node, struct gw_view segment, bool *ret_found)
{
    size_t low = 0, high = node->children_count;

    *ret_found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int difference = node_compare(node->children[middle], segment);

        if (difference == 0) {
            *ret_found = true;
            return middle;
        }
        if (difference < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct route_node *node_literal(const struct route_node *node, struct gw_view segment)
{
    bool found = false;
    size_t place = node_place(node, segment, &found);

    return found ? node->children[place] : NULL;
}

static struct route_node *node_child(const struct route_node *node, const struct gws_path_segment *segment)
{
    return segment->variable ? node->variable : node_literal(node, segment->text);
}

static struct route_node *node_new(struct gw_view segment)
{
    struct route_node *node = calloc(1, sizeof(*node));

    if (node == NULL)
        return NULL;
    node->segment = malloc(segment.size + 1);
    if (node->segment == NULL) {
        free(node);
        return NULL;
    }
    if (segment.size > 0)
        memcpy(node->segment, segment.data, segment.size);
    node->segment_size = segment.size;
    return node;
}

static struct route_node *node_add_literal(struct route_node *node, struct gw_view segment)
{
    bool found = false;
    size_t place = node_place(node, segment, &found);
    struct route_node *child = NULL;

    if (node->children_count == node->children_capacity) {
        size_t capacity = node->children_capacity == 0 ? 4 : 2 * node->children_capacity;
        struct route_node **children = realloc(node->children, capacity * sizeof(*children));

        if (children == NULL)
            return NULL;
        node->children = children;
        node->children_capacity = capacity;
    }
    child = node_new(segment);
    if (child == NULL)
        return NULL;
    memmove(node->children + place + 1, node->children + place,
            (node->children_count - place) * sizeof(*node->children));
    node->children[place] = child;
    node->children_count++;
    return child;
}

static struct route_node *node_add_child(struct route_node *node, const struct gws_path_segment *segment)
{
    if (!segment->variable)
        return node_add_literal(node, segment->text);
    node->variable = node_new(gw_view(NULL, 0));
    return node->variable;
}

static bool node_empty(const struct route_node *node)
{
    return node->children_count == 0 && node->variable == NULL && node->claims == NULL;
}

/* Removes the child on the way along `path` at `depth` when nothing is left in it. */
static void node_prune(struct route_node *node, const struct gws_path *path, size_t depth)
{
    struct route_node *child = NULL;
    bool found = false;
    size_t place = 0;

    if (depth == path->count)
        return;
    child = node_child(node, &path->segments[depth]);
    if (child == NULL)
        return;
    node_prune(child, path, depth + 1);
    if (!node_empty(child))
        return;
    if (path->segments[depth].variable) {
        node->variable = NULL;
    } else {
        place = node_place(node, path->segments[depth].text, &found);
        node->children_count--;
        memmove(node->children + place, node->children + place + 1,
                (node->children_count - place) * sizeof(*node->children));
    }
    node_free(child);
}

static const struct route_node *routes_find(const struct gws_routes *routes, const struct gws_path *path)
{
    const struct route_node *node = &routes->root;

    for (size_t i = 0; node != NULL && i < path->count; i++)
        node = node_child(node, &path->segments[i]);
    return node;
}

static int routes_claim(struct route_node *node, const struct gws_path *path, unsigned methods, void *owner)
{
    struct route_claim *claim = NULL;

    for (size_t i = 0; i < path->count; i++) {
        struct route_node *child = node_child(node, &path->segments[i]);

        if (child == NULL)
            child = node_add_child(node, &path->segments[i]);
        if (child == NULL)
            return GW_RAISE(-ENOMEM);
        node = child;
    }
    claim = malloc(sizeof(*claim));
    if (claim == NULL)
        return GW_RAISE(-ENOMEM);
    *claim = (struct route_claim){.next = node->claims, .path = path, .methods = methods, .owner = owner};
    node->claims = claim;
    return 0;
}

int gws_routes_add(struct gws_routes *routes, const struct gws_path *path, unsigned methods, void *owner)
{
    int fault = routes_claim(&routes->root, path, methods, owner);

    if (fault != 0)
        node_prune(&routes->root, path, 0);
    return fault;
}

void gws_routes_remove(struct gws_routes *routes, const struct gws_path *path, const void *owner)
{
    struct route_node *node = &routes->root;

    for (size_t i = 0; node != NULL && i < path->count; i++)
        node = node_child(node, &path->segments[i]);
    if (node == NULL)
        return;
    for (struct route_claim **link = &node->claims; *link != NULL;) {
        struct route_claim *claim = *link;

        if (claim->owner != owner) {
            link = &claim->next;
            continue;
        }
        *link = claim->next;
        free(claim);
    }
    node_prune(&routes->root, path, 0);
}

void gws_routes_owners(const struct gws_routes *routes, const struct gws_path *path, unsigned methods,
                       void (*each)(void *user, void *owner), void *user)
{
    const struct route_node *node = routes_find(routes, path);

    for (const struct route_claim *claim = node == NULL ? NULL : node->claims; claim != NULL;
         claim = claim->next)
        if ((claim->methods & methods) != 0)
            each(user, claim->owner);
}

/* ---- matching ---- */

struct route_search {
    struct gw_view segments[GWS_PATH_SEGMENTS_MAX];
    size_t count;
    unsigned method;
    struct gw_view values[GWS_PATH_VARIABLES_MAX];
    size_t values_count;
    unsigned methods;
    const struct route_claim *found;
};

static bool search_claims(struct route_search *search, const struct route_node *node)
{
    for (const struct route_claim *claim = node->claims; claim != NULL; claim = claim->next) {
        search->methods |= claim->methods;
        if ((claim->methods & search->method) != 0) {
            search->found = claim;
            return true;
        }
    }
    return false;
}

static bool search_below(struct route_search *search, const struct route_node *node, size_t depth)
{
    const struct route_node *literal = NULL;

    if (depth == search->count)
        return search_claims(search, node);
    literal = node_literal(node, search->segments[depth]);
    if (literal != NULL && search_below(search, literal, depth + 1))
        return true;
    if (node->variable == NULL || search->segments[depth].size == 0)
        return false;
    search->values[search->values_count++] = search->segments[depth];
    if (search_below(search, node->variable, depth + 1))
        return true;
    search->values_count--;
    return false;
}

/* Cuts at the slashes first and decodes after: %2F stays inside its segment. */
static int search_split(struct route_search *search, struct gw_view path, struct gw_bytes *scratch)
{
    bool encoded = memchr(path.data, '%', path.size) != NULL;
    const char *at = path.data + 1, *end = path.data + path.size;

    gw_bytes_clear(scratch);
    /* all the room at once: the views into it must not move */
    if (encoded && gw_bytes_reserve(scratch, path.size + 1) == NULL)
        return GW_RAISE(-ENOMEM);
    for (;;) {
        const char *slash = memchr(at, '/', (size_t)(end - at));
        struct gw_view segment = gw_view(at, (size_t)((slash == NULL ? end : slash) - at));

        if (search->count == GWS_PATH_SEGMENTS_MAX)
            return GWS_ROUTE_NONE;
        if (encoded) {
            size_t start = scratch->size;

            if (!gw_percent_decode(scratch, segment, false))
                return GWS_ROUTE_BAD;
            segment = gw_view(scratch->data + start, scratch->size - start);
        }
        search->segments[search->count++] = segment;
        if (slash == NULL)
            return 0;
        at = slash + 1;
    }
}

int gws_routes_match(const struct gws_routes *routes, const char *method, struct gw_view path,
                     struct gw_bytes *scratch, struct gws_route *ret_route)
{
    struct route_search search;
    int verdict = 0;

    if (path.size == 0 || path.data[0] != '/')
        return GWS_ROUTE_NONE;
    search.count = search.values_count = 0;
    search.methods = 0;
    search.method = gws_method_bit(method);
    search.found = NULL;
    verdict = search_split(&search, path, scratch);
    if (verdict != 0)
        return verdict;

    search_below(&search, &routes->root, 0);
    ret_route->methods = search.methods;
    if (search.found == NULL)
        return search.methods == 0 ? GWS_ROUTE_NONE : GWS_ROUTE_METHOD;
    ret_route->owner = search.found->owner;
    ret_route->path = search.found->path;
    memcpy(ret_route->values, search.values, search.values_count * sizeof(*search.values));
    return 0;
}

struct gw_view gws_route_value(const struct gws_route *route, struct gw_view name)
{
    for (size_t i = 0, variable = 0; i < route->path->count; i++) {
        if (!route->path->segments[i].variable)
            continue;
        if (gw_view_equal(route->path->segments[i].text, name))
            return route->values[variable];
        variable++;
    }
    return gw_view(NULL, 0);
}
