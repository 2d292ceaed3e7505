/* HTTP targets: one URL with all that stays the same from request to request. */
#include "common/http_parts.h"

#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#define HTTP_USER_AGENT "sluice/" GW_VERSION
enum {
    HTTP_TIMEOUT_MS = 30000,
    HTTP_CONNECT_TIMEOUT_MS = 10000,
    HTTP_AUTHORITIES_CACHED_S = 60,
    HTTP_KEEPALIVE_IDLE_S = 30,
    HTTP_KEEPALIVE_INTERVAL_S = 15
};

/* ---- headers ---- */

bool http_header_valid(const char *line)
{
    const char *colon = strchr(line, ':');

    if (colon == NULL || colon == line)
        return false;
    for (const char *at = line; at < colon; at++)
        if (*at <= ' ' || *at == 0x7f || *at == ';')
            return false;
    return strpbrk(colon, "\r\n") == NULL;
}

void http_header_append(struct gw_bytes *text, const char *line)
{
    const char *colon = strchr(line, ':');

    if (colon[1 + strspn(colon + 1, " \t")] != '\0') {
        gw_bytes_append(text, line, strlen(line) + 1);
        return;
    }
    gw_bytes_append(text, line, (size_t)(colon - line));
    gw_bytes_append(text, ";", 2);
}

static int headers_add(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);

    if (longer == NULL)
        return GW_RAISE(-ENOMEM);
    *list = longer;
    return 0;
}

static int target_headers(struct gw_http_target *target, const char *const *lines, struct gw_reason *reason)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};

    for (; lines != NULL && *lines != NULL; lines++) {
        if (!http_header_valid(*lines))
            return GW_REFUSE(-EINVAL, reason, "header \"%.*s\": not of the form \"Name: value\"",
                             (int)strcspn(*lines, ":\r\n"), *lines);
        gw_bytes_clear(&text);
        http_header_append(&text, *lines);
        if (text.failed)
            return GW_RAISE(-ENOMEM);
        GW_TRY(headers_add(&target->headers, text.data));
    }
    /* Without a value: what curl would add of its own to a POST is left out. */
    GW_TRY(headers_add(&target->headers, "Expect:"));
    GW_TRY(headers_add(&target->headers, "Content-Type:"));
    return 0;
}

/* ---- URL ---- */

struct url_parts {
    CURLU *url;
    char *scheme, *host, *port, *whole;
};

static void url_parts_done(struct url_parts *parts)
{
    curl_free(parts->scheme);
    curl_free(parts->host);
    curl_free(parts->port);
    curl_free(parts->whole);
    curl_url_cleanup(parts->url);
}

static int url_refuse(const char *url, struct gw_reason *reason, const char *why)
{
    /* A URL with an '@' may hold a password, and these words go to logs and pages. */
    if (strchr(url, '@') != NULL)
        return GW_REFUSE(-EINVAL, reason, "the URL (not shown: it holds a '@'): %s", why);
    return GW_REFUSE(-EINVAL, reason, "URL \"%s\": %s", url, why);
}

static int url_split(struct url_parts *parts, const char *url, struct gw_reason *reason)
{
    CURLUcode result;

    parts->url = curl_url();
    if (parts->url == NULL)
        return GW_RAISE(-ENOMEM);
    result = curl_url_set(parts->url, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
    if (result != CURLUE_OK)
        return url_refuse(url, reason, "not a URL such as http://host:port/path");
    if (curl_url_get(parts->url, CURLUPART_SCHEME, &parts->scheme, 0) != CURLUE_OK ||
        (strcasecmp(parts->scheme, "http") != 0 && strcasecmp(parts->scheme, "https") != 0))
        return url_refuse(url, reason, "must begin with http:// or https://");
    if (curl_url_get(parts->url, CURLUPART_HOST, &parts->host, 0) != CURLUE_OK || *parts->host == '\0')
        return url_refuse(url, reason, "has no host");
    if (curl_url_get(parts->url, CURLUPART_PORT, &parts->port, CURLU_DEFAULT_PORT) != CURLUE_OK)
        return GW_RAISE(-ENOMEM);
    return 0;
}

/* To expect another name in the certificate, the URL gets that name, and curl is told to connect to the real
 * host. */
static int target_rename(struct gw_http_target *target, struct url_parts *parts, const char *name,
                         struct gw_reason *reason)
{
    const char *route, *host = parts->host;
    char *shown_port = NULL;

    if (curl_url_set(parts->url, CURLUPART_HOST, name, 0) != CURLUE_OK)
        return GW_REFUSE(-EINVAL, reason, "server name \"%s\": not a host name", name);
    if (curl_url_get(parts->url, CURLUPART_URL, &parts->whole, 0) != CURLUE_OK)
        return GW_RAISE(-ENOMEM);
    target->url = gw_arena_copy(&target->arena, gw_view_text(parts->whole));
    route = gw_arena_printf(&target->arena, "%s:%s:%s:%s", name, parts->port, host, parts->port);
    if (target->url == NULL || route == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(headers_add(&target->connect_to, route));
    /* The Host header stays that of the URL as given. */
    (void)curl_url_get(parts->url, CURLUPART_PORT, &shown_port, 0);
    route = gw_arena_printf(&target->arena, "Host: %s%s%s", host, shown_port != NULL ? ":" : "",
                            shown_port != NULL ? shown_port : "");
    curl_free(shown_port);
    if (route == NULL)
        return GW_RAISE(-ENOMEM);
    return headers_add(&target->headers, route);
}

static bool host_is_loopback(const char *host)
{
    return strcasecmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 || strcmp(host, "[::1]") == 0;
}

static int target_url(struct gw_http_target *target, const struct gw_http_options *options,
                      struct gw_reason *reason)
{
    GW_AUTO(url_parts_done) struct url_parts parts = {0};

    GW_TRY(url_split(&parts, options->url, reason));
    target->tls = strcasecmp(parts.scheme, "https") == 0;
    target->direct = !options->proxy_of_environment || host_is_loopback(parts.host);
    target->peer = gw_arena_printf(&target->arena, "%s:%s", parts.host, parts.port);
    target->url = gw_arena_copy(&target->arena, gw_view_text(options->url));
    if (target->peer == NULL || target->url == NULL)
        return GW_RAISE(-ENOMEM);
    if (target->tls && options->server_name != NULL)
        return target_rename(target, &parts, options->server_name, reason);
    return 0;
}

/* ---- the rest of the options ---- */

static int target_text(struct gw_http_target *target, const char **field, const char *text)
{
    if (text == NULL)
        return 0;
    *field = gw_arena_copy(&target->arena, gw_view_text(text));
    return *field == NULL ? GW_RAISE(-ENOMEM) : 0;
}

static int target_file(struct gw_http_target *target, const char **field, const char *path, const char *what,
                       struct gw_reason *reason)
{
    if (path != NULL && access(path, R_OK) != 0)
        return GW_REFUSE(-EINVAL, reason, "%s file %s: %s", what, path, strerror(errno));
    return target_text(target, field, path);
}

static int target_pem(struct gw_http_target *target, struct gw_view *field, struct gw_view pem)
{
    if (pem.size == 0)
        return 0;
    field->data = gw_arena_copy(&target->arena, pem);
    field->size = pem.size;
    return field->data == NULL ? GW_RAISE(-ENOMEM) : 0;
}

static int target_proxy(struct gw_http_target *target, const char *proxy, struct gw_reason *reason)
{
    static const char *const schemes[] = {"http://", "https://", "socks5h://"};

    if (proxy == NULL)
        return 0;
    /* As everybody but curl reads it: the proxy looks names up. */
    if (strncasecmp(proxy, "socks5://", 9) == 0) {
        target->proxy = gw_arena_printf(&target->arena, "socks5h://%s", proxy + 9);
        return target->proxy == NULL ? GW_RAISE(-ENOMEM) : 0;
    }
    for (size_t i = 0; i < GW_COUNT_OF(schemes); i++)
        if (strncasecmp(proxy, schemes[i], strlen(schemes[i])) == 0)
            return target_text(target, &target->proxy, proxy);
    return url_refuse(proxy, reason, "a proxy's must begin with http://, https:// or socks5://");
}

static int target_fill(struct gw_http_target *target, const struct gw_http_options *options,
                       struct gw_reason *reason)
{
    target->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : HTTP_TIMEOUT_MS;
    target->connect_timeout_ms =
        options->connect_timeout_ms > 0 ? options->connect_timeout_ms : HTTP_CONNECT_TIMEOUT_MS;
    target->insecure = options->insecure;
    GW_TRY(target_url(target, options, reason));
    GW_TRY(target_headers(target, options->headers, reason));
    GW_TRY(target_file(target, &target->ca_file, options->ca_file, "CA", reason));
    GW_TRY(target_file(target, &target->certificate_file, options->certificate_file, "certificate", reason));
    GW_TRY(target_file(target, &target->key_file, options->key_file, "key", reason));
    GW_TRY(target_pem(target, &target->ca_pem, options->ca_pem));
    GW_TRY(target_pem(target, &target->certificate_pem, options->certificate_pem));
    GW_TRY(target_pem(target, &target->key_pem, options->key_pem));
    GW_TRY(target_proxy(target, options->proxy, reason));
    GW_TRY(target_text(target, &target->username, options->username));
    GW_TRY(target_text(target, &target->password, options->password));
    GW_TRY(target_text(target, &target->bearer, options->bearer));
    return 0;
}

/* Not copied by curl: the target outlives its calls, and connections keep copies of their own. */
static CURLcode target_apply_pem(CURL *easy, CURLoption option, struct gw_view pem)
{
    struct curl_blob blob = {(char *)pem.data, pem.size, CURL_BLOB_NOCOPY};

    return pem.size == 0 ? CURLE_OK : curl_easy_setopt(easy, option, &blob);
}

static bool target_apply_tls(const struct gw_http_target *target, CURL *easy)
{
    /* curl keeps the authorities it has read for a day; a renewed file must count sooner. */
    CURLcode bad = curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, (long)HTTP_AUTHORITIES_CACHED_S);

    bad |= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    /* Waits to learn whether a new connection can carry many requests, instead of opening one for each. */
    bad |= curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    if (target->ca_file != NULL || target->ca_pem.size > 0) {
        bad |= curl_easy_setopt(easy, CURLOPT_CAINFO, target->ca_file);
        bad |= curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    bad |= target_apply_pem(easy, CURLOPT_CAINFO_BLOB, target->ca_pem);
    bad |= target_apply_pem(easy, CURLOPT_SSLCERT_BLOB, target->certificate_pem);
    bad |= target_apply_pem(easy, CURLOPT_SSLKEY_BLOB, target->key_pem);
    bad |= curl_easy_setopt(easy, CURLOPT_SSLCERT, target->certificate_file);
    bad |= curl_easy_setopt(easy, CURLOPT_SSLKEY, target->key_file);
    bad |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, target->insecure ? 0L : 1L);
    bad |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, target->insecure ? 0L : 2L);
    bad |= curl_easy_setopt(easy, CURLOPT_CONNECT_TO, target->connect_to);
    bad |= curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
    return bad == CURLE_OK;
}

static bool target_apply_authorization(const struct gw_http_target *target, CURL *easy)
{
    CURLcode bad = CURLE_OK;

    if (target->bearer != NULL) {
        bad |= curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        bad |= curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, target->bearer);
    } else if (target->username != NULL) {
        bad |= curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        bad |= curl_easy_setopt(easy, CURLOPT_USERNAME, target->username);
        bad |= curl_easy_setopt(easy, CURLOPT_PASSWORD, target->password != NULL ? target->password : "");
    }
    return bad == CURLE_OK;
}

bool http_target_apply(const struct gw_http_target *target, CURL *easy)
{
    CURLcode bad = curl_easy_setopt(easy, CURLOPT_URL, target->url);

    bad |= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    bad |= curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    bad |= curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, (long)HTTP_KEEPALIVE_IDLE_S);
    bad |= curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, (long)HTTP_KEEPALIVE_INTERVAL_S);
    bad |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    bad |= curl_easy_setopt(easy, CURLOPT_USERAGENT, HTTP_USER_AGENT);
    bad |= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)target->timeout_ms);
    bad |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)target->connect_timeout_ms);
    bad |= curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, http_socket_open);
    bad |= curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, target->http);
    bad |= curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, http_socket_close);
    bad |= curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, target->http);
    /* curl looks at the environment where it is told nothing. */
    if (target->proxy != NULL || target->direct)
        bad |= curl_easy_setopt(easy, CURLOPT_PROXY, target->proxy != NULL ? target->proxy : "");
    if (target->proxy != NULL)
        bad |= curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
    if (!target->tls)
        bad |= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    else if (!target_apply_tls(target, easy))
        return false;
    return bad == CURLE_OK && target_apply_authorization(target, easy);
}

/* ---- life ---- */

int gw_http_target_open(struct gw_http_target **ret_target, struct gw_http *http,
                        const struct gw_http_options *options, struct gw_reason *reason)
{
    GW_AUTO(gw_http_target_closep) struct gw_http_target *target = calloc(1, sizeof(*target));

    if (target == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(target_fill(target, options, reason));
    target->http = http;
    target->next = http->targets;
    if (target->next != NULL)
        target->next->previous = target;
    http->targets = target;
    *ret_target = GW_TAKE(target);
    return 0;
}

void http_target_wake_calls(struct gw_http_target *target)
{
    for (struct gw_http_call *call = target->busy; call != NULL; call = call->next) {
        (void)curl_easy_pause(call->easy, CURLPAUSE_RECV);
        (void)curl_easy_pause(call->easy, CURLPAUSE_CONT);
    }
}

void http_target_end_calls(struct gw_http_target *target)
{
    struct gw_http_call *call, *next;

    for (call = target->busy; call != NULL; call = next) {
        next = call->next;
        curl_multi_remove_handle(target->http->multi, call->easy);
        http_call_unlink(call);
        http_call_free(call);
    }
    for (call = target->idle; call != NULL; call = next) {
        next = call->next;
        http_call_free(call);
    }
    target->busy = target->idle = NULL;
    if (target->http->finishing != NULL && target->http->finishing->target == target)
        target->http->finishing->target = NULL;
}

static void target_unlink(struct gw_http_target *target)
{
    if (target->previous != NULL)
        target->previous->next = target->next;
    else
        target->http->targets = target->next;
    if (target->next != NULL)
        target->next->previous = target->previous;
}

struct gw_http_target *gw_http_target_close(struct gw_http_target *target)
{
    if (target == NULL)
        return NULL;
    if (target->http != NULL) {
        http_target_end_calls(target);
        target_unlink(target);
    }
    curl_slist_free_all(target->headers);
    curl_slist_free_all(target->connect_to);
    if (target->key_pem.size > 0)
        explicit_bzero((char *)target->key_pem.data, target->key_pem.size);
    gw_arena_done(&target->arena);
    free(target);
    return NULL;
}
