/* Payloads: a request as JSON, without a tree of it in between. */
#include "gateway-servers/webhook/payload.h"

#include "common/json.h"
#include "common/text.h"

#include <stdlib.h>
#include <strings.h>

void webhook_envelope_done(struct webhook_envelope *envelope)
{
    gw_bytes_done(&envelope->out);
    gw_bytes_done(&envelope->decoded);
    free(envelope->pairs);
    *envelope = (struct webhook_envelope){0};
}

static void envelope_add(struct webhook_envelope *envelope, struct gw_view name, struct gw_view value)
{
    if (envelope->count == envelope->capacity) {
        size_t capacity = GW_MAX(2 * envelope->capacity, (size_t)16);
        struct webhook_pair *pairs = realloc(envelope->pairs, capacity * sizeof(*pairs));

        if (pairs == NULL) {
            envelope->failed = true;
            return;
        }
        envelope->pairs = pairs;
        envelope->capacity = capacity;
    }
    envelope->pairs[envelope->count] = (struct webhook_pair){name, value, envelope->count};
    envelope->count++;
}

/* ---- pairs of name and value ---- */

static int name_compare(struct gw_view a, struct gw_view b, bool nocase)
{
    size_t size = GW_MIN(a.size, b.size);
    int difference = size == 0 ? 0
                     : nocase  ? strncasecmp(a.data, b.data, size)
                               : memcmp(a.data, b.data, size);

    return difference != 0 ? difference : (a.size > b.size) - (a.size < b.size);
}

static int order_compare(const struct webhook_pair *a, const struct webhook_pair *b)
{
    return (a->order > b->order) - (a->order < b->order);
}

static int header_pair_compare(const void *a, const void *b)
{
    int difference =
        name_compare(((const struct webhook_pair *)a)->name, ((const struct webhook_pair *)b)->name, true);

    return difference != 0 ? difference : order_compare(a, b);
}

static int query_pair_compare(const void *a, const void *b)
{
    int difference =
        name_compare(((const struct webhook_pair *)a)->name, ((const struct webhook_pair *)b)->name, false);

    return difference != 0 ? difference : order_compare(a, b);
}

/* "content-TYPE" as "Content-Type". */
static void header_name_write(struct gw_bytes *out, struct gw_view name)
{
    char *at = NULL;
    bool start = true;

    gw_bytes_append_char(out, '"');
    at = gw_bytes_reserve(out, name.size + 1);
    if (at == NULL)
        return;
    for (size_t i = 0; i < name.size; i++) {
        char byte = name.data[i];

        if (start && byte >= 'a' && byte <= 'z')
            byte = (char)(byte - 'a' + 'A');
        else if (!start && byte >= 'A' && byte <= 'Z')
            byte = (char)(byte - 'A' + 'a');
        start = byte == '-';
        at[i] = byte == '"' || byte == '\\' || (unsigned char)byte < ' ' || (unsigned char)byte > '~' ? '_'
                                                                                                      : byte;
    }
    out->size += name.size;
    gw_bytes_append_char(out, '"');
}

/* The sorted pairs as {"name": ["value", …], …}. */
static void pairs_write(struct webhook_envelope *envelope, const struct webhook_auth *headers_auth)
{
    struct gw_bytes *out = &envelope->out;

    gw_bytes_append_char(out, '{');
    for (size_t i = 0, next = 0; i < envelope->count; i = next) {
        struct gw_view name = envelope->pairs[i].name;

        gw_bytes_append_text(out, i == 0 ? "" : ",");
        if (headers_auth != NULL)
            header_name_write(out, name);
        else
            gw_json_quote(out, name);
        gw_bytes_append_text(out, ":[");
        for (next = i; next < envelope->count &&
                       name_compare(envelope->pairs[next].name, name, headers_auth != NULL) == 0;
             next++) {
            gw_bytes_append_text(out, next == i ? "" : ",");
            gw_json_quote(out, envelope->pairs[next].value);
        }
        gw_bytes_append_char(out, ']');
    }
    gw_bytes_append_char(out, '}');
}

/* ---- headers ---- */

struct header_walk {
    struct webhook_envelope *envelope;
    const struct webhook_auth *auth;
};

static void on_header(void *user, const char *name, const char *value)
{
    struct header_walk *walk = user;

    /* Go's server keeps these two out of the header */
    if (strcasecmp(name, "Host") == 0 || strcasecmp(name, "Transfer-Encoding") == 0)
        return;
    if (webhook_auth_hides(walk->auth, name))
        value = "***";
    envelope_add(walk->envelope, gw_view_text(name), gw_view_text(value));
}

static void headers_write(struct webhook_envelope *envelope, const struct webhook_request *request,
                          const struct webhook_auth *auth)
{
    struct header_walk walk = {envelope, auth};

    envelope->count = 0;
    request->http.headers(request->http.request, on_header, &walk);
    if (envelope->count > 1)
        qsort(envelope->pairs, envelope->count, sizeof(*envelope->pairs), header_pair_compare);
    pairs_write(envelope, auth);
}

/* ---- query ---- */

/* Cuts the next "name=value" off the query. */
static bool query_next(struct gw_view *rest, struct gw_view *ret_name, struct gw_view *ret_value)
{
    while (rest->size > 0) {
        const char *end = memchr(rest->data, '&', rest->size);
        struct gw_view piece = gw_view(rest->data, end == NULL ? rest->size : (size_t)(end - rest->data));
        const char *equals = NULL;

        *rest = end == NULL ? gw_view(NULL, 0) : gw_view(end + 1, rest->size - piece.size - 1);
        if (piece.size == 0)
            continue;
        equals = memchr(piece.data, '=', piece.size);
        *ret_name = gw_view(piece.data, equals == NULL ? piece.size : (size_t)(equals - piece.data));
        *ret_value = equals == NULL ? gw_view(NULL, 0) : gw_view(equals + 1, piece.size - ret_name->size - 1);
        return true;
    }
    return false;
}

/* What cannot be decoded stays as it is. The room for it was reserved: earlier views stay good. */
static struct gw_view query_decode(struct gw_bytes *decoded, struct gw_view text)
{
    size_t start = decoded->size;

    if (text.size == 0 || !gw_percent_decode(decoded, text, true)) {
        decoded->size = start;
        return text;
    }
    return gw_view(decoded->data + start, decoded->size - start);
}

static void query_write(struct webhook_envelope *envelope, struct gw_view query)
{
    struct gw_view name = {0}, value = {0};

    envelope->count = 0;
    gw_bytes_clear(&envelope->decoded);
    if (gw_bytes_reserve(&envelope->decoded, query.size + 1) == NULL)
        envelope->failed = true;
    while (!envelope->failed && query_next(&query, &name, &value)) {
        name = query_decode(&envelope->decoded, name);
        value = query_decode(&envelope->decoded, value);
        envelope_add(envelope, name, value);
    }
    if (envelope->count > 1)
        qsort(envelope->pairs, envelope->count, sizeof(*envelope->pairs), query_pair_compare);
    pairs_write(envelope, NULL);
}

bool webhook_query_value(struct gw_view query, struct gw_view name, struct gw_bytes *out)
{
    struct gw_view key = {0}, value = {0};

    while (query_next(&query, &key, &value)) {
        size_t start = out->size;
        bool same = gw_percent_decode(out, key, true) &&
                    gw_view_equal(gw_view(out->data + start, out->size - start), name);

        out->size = start;
        if (!same)
            continue;
        if (gw_percent_decode(out, value, true))
            return true;
        out->size = start;
        return false;
    }
    return false;
}

/* ---- the whole ---- */

static void body_write(struct gw_bytes *out, struct gw_view body)
{
    if (body.size == 0) {
        gw_bytes_append_text(out, "null");
    } else if (gw_json_valid(body)) {
        gw_bytes_append_view(out, gw_view_trim(body));
    } else if (gw_utf8_valid(body)) {
        gw_json_quote(out, body);
    } else {
        gw_bytes_append_char(out, '"');
        gw_base64_encode(out, body);
        gw_bytes_append_text(out, "\",\"isBase64Encoded\":true");
    }
}

static void variables_write(struct gw_bytes *out, const struct gws_route *route)
{
    size_t variable = 0;

    gw_bytes_append_char(out, '{');
    for (size_t i = 0; i < route->path->count; i++) {
        if (!route->path->segments[i].variable)
            continue;
        gw_bytes_append_text(out, variable == 0 ? "" : ",");
        gw_json_quote(out, route->path->segments[i].text);
        gw_bytes_append_char(out, ':');
        gw_json_quote(out, route->values[variable++]);
    }
    gw_bytes_append_char(out, '}');
}

int webhook_envelope_write(struct webhook_envelope *envelope, const struct webhook_request *request,
                           const struct webhook_auth *auth, struct gw_view *ret_json)
{
    struct gw_bytes *out = &envelope->out;

    envelope->failed = false;
    gw_bytes_clear(out);
    gw_bytes_append_text(out, "{\"header\":");
    headers_write(envelope, request, auth);
    gw_bytes_append_text(out, ",\"body\":");
    body_write(out, request->http.body);
    gw_bytes_append_text(out, ",\"method\":");
    gw_json_quote(out, gw_view_text(request->method));
    gw_bytes_append_text(out, ",\"path\":");
    gw_json_quote(out, gw_view_text(request->path));
    gw_bytes_append_text(out, ",\"query\":");
    query_write(envelope, gw_view_text(request->query));
    gw_bytes_append_text(out, ",\"pathParameters\":");
    variables_write(out, request->route);
    gw_bytes_append_char(out, '}');
    if (out->failed || envelope->failed)
        return GW_RAISE(-ENOMEM);
    *ret_json = gw_bytes_view(out);
    return 0;
}
