/* Putting a Gateway spec in force: servers and watchers follow it. */
#include "gateway-client/client.h"

#include "common/clock.h"
#include "common/log.h"
#include "gateway-client/report/report.h"

#include <stdlib.h>
#include <string.h>

void gwc_client_log_problems(const char *file, const struct gw_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct gw_problem *problem = &problems->items[i];
        gw_log(GW_LOG_ERROR, problem->message, "file", problem->file != NULL ? problem->file : file, "line",
               problem->line > 0 ? GW_NUMBER(problem->line) : NULL, "path",
               problem->path[0] != '\0' ? problem->path : NULL, NULL);
    }
}

/* ---- the Gateway spec ---- */

static struct gwc_spec_version *version_unref(struct gwc_spec_version *version)
{
    if (version == NULL || --version->users > 0)
        return NULL;
    gwc_spec_free(version->spec);
    free(version);
    return NULL;
}

static void servers_close(struct gwc_client *client)
{
    for (size_t i = 0; i < client->servers_count; i++)
        gwc_server_unref(client->servers[i]);
    free(client->servers);
    client->servers = NULL;
    client->servers_count = 0;
}

/* The servers of the new spec: those that did not change stay as they are, with their connections. */
static int servers_apply(struct gwc_client *client, const struct gwc_spec *spec)
{
    struct gwc_server **servers = calloc(spec->servers_count + 1, sizeof(*servers));
    int fault = servers == NULL ? GW_RAISE(-ENOMEM) : 0;

    for (size_t i = 0; fault == 0 && i < spec->servers_count; i++) {
        for (size_t j = 0; j < client->servers_count && servers[i] == NULL; j++)
            if (gwc_server_spec_equal(gwc_server_spec(client->servers[j]), &spec->servers[i]))
                servers[i] = gwc_server_ref(client->servers[j]);
        if (servers[i] == NULL)
            fault = gwc_server_new(&servers[i], client->rpc, &spec->servers[i]);
    }
    if (fault != 0) {
        for (size_t i = 0; servers != NULL && i < spec->servers_count; i++)
            gwc_server_unref(servers[i]);
        free(servers);
        return fault;
    }
    servers_close(client);
    client->servers = servers;
    client->servers_count = spec->servers_count;
    return 0;
}

/* ---- watchers ---- */

static void watcher_open(struct gwc_client *client, struct gwc_watcher *watcher)
{
    struct gw_reason reason = {""};

    const struct gwc_transports transports = {.loop = client->loop,
                                              .http = client->http,
                                              .rpc = client->rpc,
                                              .gateway = client->name,
                                              .namespace_ = client->namespace_};

    int fault = gwc_delivery_open(&watcher->delivery, client->outbox, &transports, watcher->spec,
                                  client->metrics, &reason);
    if (fault == 0) {
        gw_log(GW_LOG_INFO, "watcher", "watcher", watcher->spec->name, "url", watcher->spec->url, "mode",
               watcher->spec->mode_name, NULL);
        if (watcher->spec->insecure_skip_verify)
            gw_log(GW_LOG_WARN, "the watcher's certificate is NOT verified (insecureSkipVerify)", "watcher",
                   watcher->spec->name, NULL);
        watcher->reason[0] = '\0';
        return;
    }
    watcher->delivery = NULL;
    if (reason.text[0] == '\0')
        gw_reason_set(&reason, "%s", gw_fault_trace());
    if (strcmp(watcher->reason, reason.text) != 0)
        gw_log(fault == -EAGAIN ? GW_LOG_INFO : GW_LOG_ERROR,
               fault == -EAGAIN ? "watcher waits" : "watcher cannot be opened", "watcher",
               watcher->spec->name, "reason", reason.text, NULL);
    memcpy(watcher->reason, reason.text, sizeof(watcher->reason));
}

static void watcher_close(struct gwc_watcher *watcher)
{
    watcher->delivery = gwc_delivery_close(watcher->delivery);
    watcher->version = version_unref(watcher->version);
}

static struct gwc_watcher *watcher_find(struct gwc_watcher *watchers, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (watchers[i].spec != NULL && strcmp(watchers[i].spec->name, name) == 0)
            return &watchers[i];
    return NULL;
}

/* `watchers`: room for those of the spec, zeroed; owned from here on. */
static void watchers_apply(struct gwc_client *client, struct gwc_spec_version *version,
                           struct gwc_watcher *watchers)
{
    const struct gwc_spec *spec = version->spec;

    for (size_t i = 0; i < spec->watchers_count; i++) {
        struct gwc_watcher *old =
            watcher_find(client->watchers, client->watchers_count, spec->watchers[i].name);
        if (old != NULL && gwc_watcher_spec_equal(old->spec, &spec->watchers[i])) {
            watchers[i] = *old; /* goes on undisturbed, with the words of the old version */
            old->spec = NULL;
            continue;
        }
        if (old != NULL) {
            watcher_close(old);
            old->spec = NULL;
        }
        watchers[i] = (struct gwc_watcher){.spec = &spec->watchers[i], .version = version};
        version->users++;
        watcher_open(client, &watchers[i]);
    }
    for (size_t i = 0; i < client->watchers_count; i++)
        if (client->watchers[i].spec != NULL)
            watcher_close(&client->watchers[i]);
    free(client->watchers);
    client->watchers = watchers;
    client->watchers_count = spec->watchers_count;
}

/* Watchers that the outbox knows and the spec does not: their backlog is no longer wanted. */
static void watchers_forget(struct gwc_client *client)
{
    char **names = NULL;
    size_t count = 0;

    if (gwc_outbox_watchers(client->outbox, &names, &count) < 0)
        return;
    for (size_t i = 0; i < count; i++) {
        if (watcher_find(client->watchers, client->watchers_count, names[i]) == NULL) {
            gw_log(GW_LOG_INFO, "watcher is gone from the spec, its backlog is dropped", "watcher", names[i],
                   NULL);
            gwc_outbox_watcher_remove(client->outbox, names[i]);
        }
        free(names[i]);
    }
    free(names);
}

void gwc_client_retry_watchers(struct gwc_client *client)
{
    for (size_t i = 0; i < client->watchers_count; i++)
        if (client->watchers[i].delivery == NULL)
            watcher_open(client, &client->watchers[i]);
}

void gwc_client_close_watchers(struct gwc_client *client)
{
    for (size_t i = 0; i < client->watchers_count; i++)
        watcher_close(&client->watchers[i]);
    free(client->watchers);
    client->watchers = NULL;
    client->watchers_count = 0;
    client->version = version_unref(client->version);
}

static int gateway_set_name(struct gwc_client *client, const char *name, const char *namespace_)
{
    client->name = gw_arena_copy(&client->arena, gw_view_text(name));
    client->namespace_ = gw_arena_copy(&client->arena, gw_view_text(namespace_));
    return client->name == NULL || client->namespace_ == NULL ? GW_RAISE(-ENOMEM) : 0;
}

static int gateway_check_name(struct gwc_client *client, const struct gwc_spec *spec)
{
    if (client->name == NULL) {
        GW_TRY(gateway_set_name(client, spec->name, spec->namespace_));
        return 0;
    }
    if (strcmp(client->name, spec->name) == 0 && strcmp(client->namespace_, spec->namespace_) == 0)
        return 0;
    gw_problems_add(
        &client->gateway_problems, "metadata.name", 0,
        "the name of a running gateway does not change (it is %s/%s): restart it to take the new one",
        client->namespace_, client->name);
    return GWC_ORIGIN_BAD;
}

static int gateway_read(struct gwc_client *client, struct gwc_spec **ret_spec)
{
    GW_AUTO(gwc_spec_freep) struct gwc_spec *spec = NULL;

    gw_problems_done(&client->gateway_problems);
    int read = gwc_origin_read_spec(client->gateway_origin, &spec, &client->gateway_problems);
    if (read == 0)
        read = gateway_check_name(client, spec);
    if (read == 0)
        read = gwc_client_check_event_source(client, spec);
    if (read != 0)
        return read;
    *ret_spec = GW_TAKE(spec);
    return 0;
}

int gwc_client_identify(struct gwc_client *client)
{
    const struct gwc_origin_name *object = &client->options->origins.gateway;
    GW_AUTO(gwc_spec_freep) struct gwc_spec *spec = NULL;

    if (object->kind != GWC_ORIGIN_FILE) {
        GW_TRY(gateway_set_name(client, object->name,
                                object->namespace_[0] != '\0' ? object->namespace_
                                                              : gwc_client_namespace(client)));
        return 0;
    }
    int read = gateway_read(client, &spec);
    gwc_client_log_problems(gwc_origin_label(client->gateway_origin), &client->gateway_problems);
    return read;
}

static void outbox_mind(struct gwc_client *client, const struct gwc_outbox_spec *wanted)
{
    const struct gwc_outbox_spec *open = &client->outbox_spec;

    if (wanted->size_max != open->size_max || wanted->retention_ns != open->retention_ns ||
        wanted->fsync != open->fsync)
        gw_log(GW_LOG_WARN,
               "the outbox keeps the settings that it was opened with: restart the gateway-client to change "
               "them",
               "file", gwc_origin_label(client->gateway_origin), "path", "spec.outbox", NULL);
}

/* The outbox is opened with the first spec. All that can fail comes before anything changes: servers, watchers and version
 * are of one spec. */
static int gateway_apply(struct gwc_client *client, struct gwc_spec_version *version)
{
    GW_AUTO(gw_freep)
    struct gwc_watcher *watchers = calloc(version->spec->watchers_count + 1, sizeof(*watchers));

    if (watchers == NULL)
        return GW_RAISE(-ENOMEM);
    if (client->outbox == NULL)
        GW_TRY(gwc_client_open_outbox(client, version->spec));
    outbox_mind(client, &version->spec->outbox);
    GW_TRY(servers_apply(client, version->spec));
    watchers_apply(client, version, GW_TAKE(watchers));
    watchers_forget(client);
    version_unref(client->version);
    client->version = version;
    client->loaded_ms = gw_clock_realtime_ms();
    return 0;
}

void gwc_client_withdraw_gateway(struct gwc_client *client)
{
    gw_log(GW_LOG_WARN, "no gateway spec is in force any more", "gateway", client->name, NULL);
    gwc_report_tell(client->report, GWC_EVENT_CONFIGURATION_GONE, gwc_origin_label(client->gateway_origin),
                    "");
    gwc_client_withdraw_sources(client);
    gwc_client_close_watchers(client);
    servers_close(client);
}

int gwc_client_load_gateway(struct gwc_client *client)
{
    struct gwc_spec *spec = NULL;
    int read = gateway_read(client, &spec);

    if (read == GWC_ORIGIN_NONE)
        return read;
    gw_series_add(read == 0 ? client->reloads_good : client->reloads_bad, 1);
    if (read != 0) {
        gwc_client_log_problems(gwc_origin_label(client->gateway_origin), &client->gateway_problems);
        gwc_report_tell_problems(client->report, gwc_origin_label(client->gateway_origin),
                                 &client->gateway_problems);
        gwc_report_judged(client->report);
        return read;
    }
    struct gwc_spec_version *version = calloc(1, sizeof(*version));
    if (version == NULL) {
        gwc_spec_free(spec);
        return GW_RAISE(-ENOMEM);
    }
    *version = (struct gwc_spec_version){spec, 1};
    int fault = gateway_apply(client, version);
    if (fault != 0) {
        version_unref(version);
        return fault;
    }
    GW_TRY(gwc_client_follow_event_source(client));
    gw_log(GW_LOG_INFO, "gateway spec in force", "gateway", client->name, "file",
           gwc_origin_label(client->gateway_origin), "servers", GW_NUMBER(client->servers_count), "watchers",
           GW_NUMBER(client->watchers_count), NULL);
    gwc_report_tell(client->report, GWC_EVENT_CONFIGURATION_IN_FORCE,
                    gwc_origin_label(client->gateway_origin), "");
    gwc_report_judged(client->report);
    return 0;
}
