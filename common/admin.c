/* The admin address: health, metrics, and the program's own JSON pages. */
#include "common/admin.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { ADMIN_HOST_MAX = 256 };

struct gw_admin {
    struct gw_listener *listener;
    struct gw_admin_options options;
};

#define ADMIN_TEXT    "text/plain; charset=utf-8"
#define ADMIN_METRICS "text/plain; version=0.0.4; charset=utf-8"

/* ---- the pages of every program ---- */

static int page_healthy(struct gw_admin *admin, struct gw_bytes *out)
{
    (void)admin;
    gw_bytes_append_text(out, "ok\n");
    return 200;
}

static int page_ready(struct gw_admin *admin, struct gw_bytes *out)
{
    struct gw_reason reason = {""};
    bool ready = admin->options.ready == NULL || admin->options.ready(admin->options.user, &reason);
    bool silent = reason.text[0] == '\0';

    if (ready)
        gw_bytes_printf(out, "ok%s%s\n", silent ? "" : ": ", reason.text);
    else
        gw_bytes_printf(out, "%s\n", silent ? "not ready" : reason.text);
    return ready ? 200 : 503;
}

static int page_metrics(struct gw_admin *admin, struct gw_bytes *out)
{
    if (admin->options.metrics != NULL)
        gw_metrics_write(admin->options.metrics, out);
    return 200;
}

static const struct own_page {
    const char *path, *content_type;
    int (*answer)(struct gw_admin *admin, struct gw_bytes *out);
} own_pages[] = {
    {"/healthz", ADMIN_TEXT, page_healthy},
    {"/livez", ADMIN_TEXT, page_healthy},
    {"/readyz", ADMIN_TEXT, page_ready},
    {"/metrics", ADMIN_METRICS, page_metrics},
};

/* ---- who may POST ---- */

static bool content_is_json(const struct gw_request *request)
{
    const char *type = gw_request_header(request, "Content-Type");

    return type != NULL &&
           gw_view_is_nocase(gw_view_trim(gw_view(type, strcspn(type, ";"))), "application/json");
}

/* "127.0.0.1:9301", "[::1]", "localhost:9301": no name that a foreign page could have. */
static bool host_is_here(const char *authority)
{
    char host[ADMIN_HOST_MAX];
    unsigned char ignored[sizeof(struct in6_addr)];
    bool bracketed = authority[0] == '[';
    const char *start = authority + (bracketed ? 1 : 0);
    size_t size = strcspn(start, bracketed ? "]" : ":");

    if (size >= sizeof(host))
        return false;
    memcpy(host, start, size);
    host[size] = '\0';
    return inet_pton(bracketed ? AF_INET6 : AF_INET, host, ignored) == 1 ||
           strcasecmp(host, "localhost") == 0;
}

static bool origin_is_here(const struct gw_request *request)
{
    const char *origin = gw_request_header(request, "Origin"), *host = gw_request_header(request, "Host");
    const char *authority;

    if (origin == NULL) /* not a browser */
        return true;
    authority = strstr(origin, "://");
    return authority != NULL && host != NULL && strcasecmp(authority + 3, host) == 0 && host_is_here(host);
}

static bool post_refused(struct gw_request *request)
{
    if (!content_is_json(request))
        gw_request_problem(request, 415, NULL, "a POST here needs \"Content-Type: application/json\"");
    else if (!origin_is_here(request))
        gw_request_problem(request, 403, NULL, "a POST from a page of another origin");
    else
        return false;
    return true;
}

/* ---- requests ---- */

static void reply_bytes(struct gw_request *request, int status, const char *content_type,
                        struct gw_bytes *out)
{
    char header[128];

    if (gw_bytes_text(out) == NULL) {
        gw_request_problem(request, 500, NULL, "no memory for the answer");
        return;
    }
    snprintf(header, sizeof(header), "Content-Type: %s", content_type);
    gw_request_reply(request, status, (const char *[]){header, "Cache-Control: no-store", NULL},
                     gw_bytes_view(out));
}

/* HEAD is GET whose body libmicrohttpd leaves out. */
static bool method_is(const struct gw_request *request, const char *method)
{
    const char *sent = gw_request_method(request);

    return strcmp(sent, method) == 0 || (strcmp(sent, "HEAD") == 0 && strcmp(method, "GET") == 0);
}

static bool answer_own(struct gw_admin *admin, struct gw_request *request, struct gw_bytes *allowed)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};
    int status;

    for (size_t i = 0; i < GW_COUNT_OF(own_pages); i++) {
        if (strcmp(own_pages[i].path, gw_request_path(request)) != 0)
            continue;
        gw_bytes_append_text(allowed, "GET, HEAD, ");
        if (!method_is(request, "GET"))
            continue;
        status = own_pages[i].answer(admin, &out);
        reply_bytes(request, status, own_pages[i].content_type, &out);
        return true;
    }
    return false;
}

static bool answer_page(struct gw_admin *admin, struct gw_request *request, struct gw_bytes *allowed)
{
    const struct gw_admin_page *page = admin->options.pages;
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};
    int status;

    for (; page != NULL && page->path != NULL; page++) {
        if (strcmp(page->path, gw_request_path(request)) != 0)
            continue;
        gw_bytes_printf(allowed, strcmp(page->method, "GET") == 0 ? "%s, HEAD, " : "%s, ", page->method);
        if (!method_is(request, page->method))
            continue;
        if (strcmp(page->method, "GET") != 0 && post_refused(request))
            return true;
        status = page->answer(admin->options.user, gw_request_query(request), gw_request_body(request), &out);
        reply_bytes(request, status, "application/json", &out);
        return true;
    }
    return false;
}

static void on_complete(void *user, struct gw_request *request)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes allowed = {0};
    struct gw_admin *admin = user;

    gw_bytes_append_text(&allowed, "Allow: ");
    if (answer_own(admin, request, &allowed) || answer_page(admin, request, &allowed))
        return;
    if (allowed.size == strlen("Allow: ") || allowed.failed) {
        gw_request_problem(request, 404, NULL, "there is no page %s here", gw_request_path(request));
        return;
    }
    allowed.size -= strlen(", ");
    gw_request_problem(request, 405, (const char *[]){gw_bytes_text(&allowed), NULL}, "%s does not take %s",
                       gw_request_path(request), gw_request_method(request));
}

/* ---- life ---- */

int gw_admin_open(struct gw_admin **ret_admin, struct gw_loop *loop, const struct gw_admin_options *options,
                  struct gw_reason *reason)
{
    const struct gw_listener_hooks hooks = {.complete = on_complete};
    GW_AUTO(gw_admin_closep) struct gw_admin *admin = calloc(1, sizeof(*admin));
    struct gw_listener_options listen = {0};
    char address[GW_ADDRESS_MAX];

    if (admin == NULL)
        return GW_RAISE(-ENOMEM);
    admin->options = *options;
    GW_TRY(gw_address_split(options->address, address, &listen.port, reason));
    listen.address = address;
    GW_TRY(gw_listener_open(&admin->listener, loop, &listen, &hooks, admin, reason));
    *ret_admin = GW_TAKE(admin);
    return 0;
}

struct gw_admin *gw_admin_close(struct gw_admin *admin)
{
    if (admin == NULL)
        return NULL;
    gw_listener_close(admin->listener);
    free(admin);
    return NULL;
}

uint16_t gw_admin_port(const struct gw_admin *admin)
{
    return gw_listener_port(admin->listener);
}
