/* The Gateway spec's watchers that are reached by HTTP. */
#include "gateway-client/spec/spec_parts.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_H  (INT64_C(3600) * 1000 * NS_PER_MS)

#define IN_WATCHER(member) offsetof(struct gwc_watcher_spec, member)

static const struct gw_setting basic_settings[] = {
    {.name = "username",
     .kind = GW_SETTING_SECRET,
     .offset = IN_WATCHER(username),
     .required = true,
     .help = "the secret with the name of the user"},
    {.name = "password",
     .kind = GW_SETTING_SECRET,
     .offset = IN_WATCHER(password),
     .required = true,
     .help = "the secret with the password"},
    {0},
};

const struct gw_setting gwc_spec_http_settings[] = {
    {.name = "name",
     .kind = GW_SETTING_TEXT,
     .offset = IN_WATCHER(name),
     .required = true,
     .help = "a name of its own: what was delivered is remembered under it"},
    {.name = "url",
     .kind = GW_SETTING_TEXT,
     .offset = IN_WATCHER(url),
     .required = true,
     .help = "where events are sent, as in http://127.0.0.1:9300/"},
    {.name = "mode",
     .kind = GW_SETTING_TEXT,
     .offset = IN_WATCHER(mode_name),
     .choices = gw_event_mode_names,
     .otherwise = "structured",
     .help = "the form of the CloudEvent"},
    {.name = "concurrency",
     .kind = GW_SETTING_INTEGER,
     .offset = IN_WATCHER(concurrency),
     .otherwise = "32",
     .min = 1,
     .max = 10000,
     .help = "requests in flight"},
    {.name = "batchMax",
     .kind = GW_SETTING_INTEGER,
     .offset = IN_WATCHER(batch_max),
     .otherwise = "100",
     .min = 1,
     .max = 10000,
     .help = "events in one request, in mode batch"},
    {.name = "timeout",
     .kind = GW_SETTING_DURATION,
     .offset = IN_WATCHER(timeout_ns),
     .otherwise = "30s",
     .min = NS_PER_MS,
     .max = NS_PER_H,
     .help = "of one attempt"},
    {.name = "retry",
     .kind = GW_SETTING_SECTION,
     .offset = IN_WATCHER(retry),
     .table = gwc_spec_retry_settings,
     .help = "when and how long it is tried again"},
    {.name = "deadLetter",
     .kind = GW_SETTING_BOOL,
     .offset = IN_WATCHER(dead_letter),
     .otherwise = "true",
     .help = "keep what is given up, for replay"},
    {.name = "headers",
     .kind = GW_SETTING_PAIRS,
     .offset = IN_WATCHER(headers),
     .help = "sent with each request"},
    {.name = "bearer",
     .kind = GW_SETTING_SECRET,
     .offset = IN_WATCHER(bearer),
     .help = "the secret with a token"},
    {.name = "basic",
     .kind = GW_SETTING_SECTION,
     .offset = 0,
     .table = basic_settings,
     .help = "basic authentication"},
    {.name = "caFile",
     .kind = GW_SETTING_TEXT,
     .offset = IN_WATCHER(ca_file),
     .help = "PEM file of the authorities to trust; without it those of the system"},
    {.name = "certificateFile",
     .kind = GW_SETTING_TEXT,
     .offset = IN_WATCHER(certificate_file),
     .help = "PEM file of the client's certificate"},
    {.name = "keyFile",
     .kind = GW_SETTING_TEXT,
     .offset = IN_WATCHER(key_file),
     .help = "PEM file of the client's key"},
    {.name = "serverName",
     .kind = GW_SETTING_TEXT,
     .offset = IN_WATCHER(server_name),
     .help = "name expected in the watcher's certificate instead of the URL's host"},
    {.name = "insecureSkipVerify",
     .kind = GW_SETTING_BOOL,
     .offset = IN_WATCHER(insecure_skip_verify),
     .otherwise = "false",
     .help = "take any certificate"},
    {0},
};

/* "", or what is wrong with the host and port of a URL. */
static const char *authority_fault(struct gw_view authority)
{
    const char *end = authority.data + authority.size;
    const char *bracket =
        authority.size > 0 && authority.data[0] == '[' ? memchr(authority.data, ']', authority.size) : NULL;
    const char *colon = memchr(bracket == NULL ? authority.data : bracket, ':',
                               (size_t)(end - (bracket == NULL ? authority.data : bracket)));
    struct gw_view host = {authority.data, (size_t)((colon == NULL ? end : colon) - authority.data)};
    char port[8];

    if (authority.size > 0 && memchr(authority.data, '@', authority.size) != NULL)
        return "a user in the URL would be seen in logs: use basic, with a secret";
    if (host.size == 0)
        return "there is no host in it";
    if (authority.data[0] == '['
            ? (bracket == NULL || bracket + 1 != host.data + host.size)
            : (memchr(host.data, '[', host.size) != NULL || memchr(host.data, ']', host.size) != NULL))
        return "the brackets around the IPv6 address are not right";
    if (colon == NULL)
        return "";
    if (end - colon - 1 < 1 || end - colon - 1 > 5)
        return "the port is not one from 1 to 65535";
    snprintf(port, sizeof(port), "%.*s", (int)(end - colon - 1), colon + 1);
    return gwc_spec_port_legal(port) ? "" : "the port is not one from 1 to 65535";
}

static const char *url_fault(const char *url)
{
    size_t scheme = strncasecmp(url, "http://", 7) == 0 ? 7 : strncasecmp(url, "https://", 8) == 0 ? 8 : 0;

    for (const char *at = url; *at != '\0'; at++) {
        if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7F)
            return "white space, control characters and letters outside ASCII have to be percent-encoded";
    }
    if (scheme == 0)
        return "it has to begin with http:// or https://";
    if (strchr(url, '#') != NULL)
        return "a fragment (#…) is never sent: leave it away";
    return authority_fault(gw_view(url + scheme, strcspn(url + scheme, "/?")));
}

static bool header_name_legal(const char *name)
{
    if (name[0] == '\0')
        return false;
    for (; *name != '\0'; name++) {
        if (!isalnum((unsigned char)*name) && strchr("!#$%&'*+-.^_`|~", *name) == NULL)
            return false;
    }
    return true;
}

static bool header_is_ours(const char *name)
{
    static const char *const ours[] = {"content-type", "content-length", "transfer-encoding",
                                       "connection",   "host",           NULL};

    for (size_t i = 0; ours[i] != NULL; i++) {
        if (strcasecmp(name, ours[i]) == 0)
            return true;
    }
    return strncasecmp(name, "ce-", 3) == 0;
}

static void check_headers(const struct gwc_spec_place *place, const struct gwc_watcher_spec *watcher)
{
    for (size_t i = 0; i < watcher->headers.count; i++) {
        const struct gw_setting_pair *header = &watcher->headers.items[i];

        if (!header_name_legal(header->name))
            gwc_spec_problem(place, "headers", "\"%s\" is not the name of a header", header->name);
        else if (header_is_ours(header->name))
            gwc_spec_problem(place, "headers",
                             "the header %s follows from the event and its mode: leave it away",
                             header->name);
        else if (strcasecmp(header->name, "authorization") == 0 &&
                 (watcher->bearer.name != NULL || watcher->username.name != NULL))
            gwc_spec_problem(place, "headers",
                             "the header Authorization is set by bearer or basic: give one of them");
        for (const char *at = header->value; *at != '\0'; at++) {
            if (((unsigned char)*at < ' ' && *at != '\t') || *at == 0x7F) {
                gwc_spec_problem(place, "headers",
                                 "the value of %s has a line break or a control character in it",
                                 header->name);
                break;
            }
        }
    }
}

static void check_tls(const struct gwc_spec_place *place, const struct gwc_watcher_spec *watcher)
{
    bool any = watcher->ca_file != NULL || watcher->certificate_file != NULL || watcher->key_file != NULL ||
               watcher->server_name != NULL || watcher->insecure_skip_verify;

    if ((watcher->certificate_file == NULL) != (watcher->key_file == NULL))
        gwc_spec_problem(place, watcher->certificate_file == NULL ? "keyFile" : "certificateFile",
                         "certificateFile and keyFile belong together: give both or none");
    if (any && strncasecmp(watcher->url, "http://", 7) == 0)
        gwc_spec_problem(
            place, "url",
            "caFile, certificateFile, keyFile, serverName and insecureSkipVerify need an https:// URL");
}

void gwc_spec_check_http(const struct gwc_spec_place *place, const struct gwc_watcher_spec *watcher)
{
    const char *fault = url_fault(watcher->url);
    if (fault[0] != '\0')
        gwc_spec_problem(place, "url", "\"%s\" is not a URL that can be used: %s", watcher->url, fault);
    if (watcher->bearer.name != NULL && watcher->username.name != NULL)
        gwc_spec_problem(place, "basic", "bearer and basic exclude each other: give one of them");
    check_headers(place, watcher);
    check_tls(place, watcher);
}
