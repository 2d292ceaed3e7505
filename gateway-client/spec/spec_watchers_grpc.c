/* The Gateway spec's watchers that are reached by gRPC. */
#include "gateway-client/spec/spec_parts.h"

#include <ctype.h>
#include <string.h>

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_H  (INT64_C(3600) * 1000 * NS_PER_MS)

#define IN_WATCHER(member) offsetof(struct gwc_watcher_spec, member)

const struct gw_setting gwc_spec_grpc_settings[] = {
    {.name = "name",
     .kind = GW_SETTING_TEXT,
     .offset = IN_WATCHER(name),
     .required = true,
     .help = "a name of its own: what was delivered is remembered under it"},
    {.name = "address",
     .kind = GW_SETTING_TEXT,
     .offset = IN_WATCHER(address),
     .required = true,
     .help = "where the sink listens: host:port or unix:/path"},
    {.name = "concurrency",
     .kind = GW_SETTING_INTEGER,
     .offset = IN_WATCHER(concurrency),
     .otherwise = "32",
     .min = 1,
     .max = GWC_SINK_GRPC_CONCURRENCY_MAX,
     .help = "puts under way"},
    {.name = "batchMax",
     .kind = GW_SETTING_INTEGER,
     .offset = IN_WATCHER(batch_max),
     .otherwise = "100",
     .min = 1,
     .max = 10000,
     .help = "events in one put"},
    {.name = "timeout",
     .kind = GW_SETTING_DURATION,
     .offset = IN_WATCHER(timeout_ns),
     .otherwise = "30s",
     .min = NS_PER_MS,
     .max = NS_PER_H,
     .help = "within which a put is answered"},
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
    {.name = "metadata",
     .kind = GW_SETTING_PAIRS,
     .offset = IN_WATCHER(headers),
     .help = "gRPC metadata sent with the call"},
    {.name = "bearer",
     .kind = GW_SETTING_SECRET,
     .offset = IN_WATCHER(bearer),
     .help = "the secret with a token, sent as metadata \"authorization: Bearer …\"; read at each call"},
    {.name = "tls",
     .kind = GW_SETTING_SECTION,
     .offset = IN_WATCHER(tls),
     .table = gwc_spec_tls_settings,
     .present = IN_WATCHER(tls.enabled) + 1,
     .help = "speak TLS; the files are read at each call"},
    {0},
};

int gwc_spec_grpc_watcher(const struct gwc_spec_reader *reader, const struct gwc_watcher_spec *entry,
                          struct gwc_watcher_spec *ret_watcher)
{
    *ret_watcher = *entry;
    ret_watcher->transport = GWC_TRANSPORT_GRPC;
    ret_watcher->mode = GW_EVENT_BATCH;
    ret_watcher->mode_name = "grpc";
    if (entry->address == NULL)
        return 0; /* said already */
    ret_watcher->url = gw_arena_printf(&reader->spec->arena, "grpc://%s", entry->address);
    return ret_watcher->url == NULL ? GW_RAISE(-ENOMEM) : 0;
}

/* HTTP/2 has lower-case names; those of gRPC itself are its own. */
static const char *metadata_fault(const char *name)
{
    if (name[0] == '\0')
        return "a name is empty";
    if (strncmp(name, "grpc-", 5) == 0)
        return "names that begin with grpc- are gRPC's own";
    if (strlen(name) > 4 && strcmp(name + strlen(name) - 4, "-bin") == 0)
        return "names that end with -bin carry bytes, which cannot be written here";
    for (; *name != '\0'; name++)
        if (!islower((unsigned char)*name) && !isdigit((unsigned char)*name) && strchr("-_.", *name) == NULL)
            return "names are made of a-z, 0-9, '-', '_' and '.'";
    return "";
}

void gwc_spec_check_grpc(const struct gwc_spec_place *place, const struct gwc_watcher_spec *watcher)
{
    struct gw_reason reason = {""};

    if (!gw_rpc_address_valid(watcher->address, &reason))
        gwc_spec_problem(place, "address", "%s", reason.text);
    if ((watcher->tls.certificate_file == NULL) != (watcher->tls.key_file == NULL))
        gwc_spec_problem(place, "tls", "certificateFile and keyFile belong together: give both or none");
    if (watcher->headers.count > GWC_SINK_GRPC_METADATA_MAX)
        gwc_spec_problem(place, "metadata", "at most %d lines of metadata are sent",
                         GWC_SINK_GRPC_METADATA_MAX);
    for (size_t i = 0; i < watcher->headers.count; i++) {
        const struct gw_setting_pair *line = &watcher->headers.items[i];
        const char *fault = metadata_fault(line->name);

        if (fault[0] != '\0')
            gwc_spec_problem(place, "metadata", "\"%s\": %s", line->name, fault);
        else if (strcmp(line->name, "authorization") == 0 && watcher->bearer.name != NULL)
            gwc_spec_problem(place, "metadata", "authorization is set by bearer: give one of them");
    }
}
