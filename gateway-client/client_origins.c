/* The client's origins: opening them, following the one that the spec names, telling of them. */
#include "gateway-client/client.h"

#include "common/kube.h"
#include "common/log.h"
#include "gateway-client/report/report.h"

/* ---- the API server ---- */

int gwc_client_kube(struct gwc_client *client, struct gw_kube **ret_kube, struct gw_reason *reason)
{
    const struct gwc_origins *origins = &client->options->origins;
    const struct gw_kube_options options = {origins->kubeconfig, origins->context, "gateway-client"};

    if (client->kube == NULL)
        GW_TRY(gw_kube_open(&client->kube, client->loop, &options, reason));
    *ret_kube = client->kube;
    return 0;
}

const char *gwc_client_namespace(const struct gwc_client *client)
{
    const char *given = client->options->origins.namespace_;

    return given != NULL ? given : client->kube != NULL ? gw_kube_namespace(client->kube) : "default";
}

/* ---- telling ---- */

static void origin_log(const struct gwc_origin *origin)
{
    struct gw_reason words = {""};
    enum gwc_origin_state state = gwc_origin_state(origin);
    bool odd = gwc_origin_words(origin, &words);

    gw_log(odd ? GW_LOG_WARN : GW_LOG_INFO, "configuration", "origin", gwc_origin_label(origin), "state",
           gwc_origin_state_names[state], "reason", odd ? words.text : NULL, NULL);
}

static void on_gateway_told(void *user)
{
    struct gwc_client *client = user;

    origin_log(client->gateway_origin);
    if (gwc_origin_object(client->gateway_origin).size == 0)
        gwc_report_seen(client->report, gw_view(NULL, 0));
    gwc_report_touch(client->report);
}

static void on_gateway_seen(void *user, struct gw_view object)
{
    struct gwc_client *client = user;

    gwc_report_seen(client->report, object);
}

static void on_sources_told(void *user)
{
    struct gwc_client *client = user;

    origin_log(client->sources_origin);
    gwc_report_touch(client->report);
}

bool gwc_client_origin_words(const struct gwc_client *client, struct gw_reason *words)
{
    return (client->gateway_origin != NULL && gwc_origin_words(client->gateway_origin, words)) ||
           (client->sources_origin != NULL && gwc_origin_words(client->sources_origin, words));
}

/* ---- opening ---- */

static void on_gateway_changed(void *user)
{
    gwc_client_gateway_changed(user);
}

static void on_sources_changed(void *user)
{
    gwc_client_sources_changed(user);
}

/* The API client is open already, where it is needed. */
static int sources_open(struct gwc_client *client, const struct gwc_origin_name *name)
{
    struct gwc_origin *origin = NULL;
    struct gwc_origin_options options = {
        .loop = client->loop,
        .kube = client->kube,
        .namespace_ = gwc_client_namespace(client),
        .grace_ms = client->options->delete_grace_ms,
        .changed = on_sources_changed,
        .told = on_sources_told,
        .user = client,
    };

    GW_TRY(gwc_origin_open(&origin, name, &options));
    gwc_origin_close(client->sources_origin);
    client->sources_origin = origin;
    return 0;
}

static int gateway_open(struct gwc_client *client, const struct gwc_origin_name *name)
{
    struct gwc_origin_options options = {
        .loop = client->loop,
        .kube = client->kube,
        .namespace_ = gwc_client_namespace(client),
        .grace_ms = client->options->delete_grace_ms,
        .changed = on_gateway_changed,
        .told = on_gateway_told,
        .seen = on_gateway_seen,
        .user = client,
    };

    GW_TRY(gwc_origin_open(&client->gateway_origin, name, &options));
    return 0;
}

int gwc_client_open_origins(struct gwc_client *client)
{
    const struct gwc_origins *origins = &client->options->origins;
    bool kube = origins->gateway.kind != GWC_ORIGIN_FILE ||
                (origins->event_sources_given && origins->event_sources.kind != GWC_ORIGIN_FILE);
    struct gw_reason reason = {""};
    struct gw_kube *ignored;

    int fault = kube ? gwc_client_kube(client, &ignored, &reason) : 0;
    if (fault < 0) {
        gw_log(GW_LOG_ERROR, "the API server cannot be used", "reason",
               reason.text[0] != '\0' ? reason.text : gw_fault_trace(), NULL);
        return reason.text[0] != '\0' ? GWC_ORIGIN_BAD : fault;
    }
    GW_TRY(gateway_open(client, &origins->gateway));
    if (origins->event_sources_given)
        GW_TRY(sources_open(client, &origins->event_sources));
    return 0;
}

/* ---- the ConfigMap that the spec names ---- */

int gwc_client_check_event_source(struct gwc_client *client, const struct gwc_spec *spec)
{
    struct gw_reason reason = {""};
    struct gw_kube *ignored;

    if (client->options->origins.event_sources_given)
        return 0;
    if (spec->event_source.name == NULL) {
        gw_problems_add(&client->gateway_problems, "spec.eventSource", 0,
                        "missing: the ConfigMap of the event sources, because --event-sources names none");
        return GWC_ORIGIN_BAD;
    }
    if (gwc_client_kube(client, &ignored, &reason) == 0)
        return 0;
    gw_problems_add(
        &client->gateway_problems, "spec.eventSource", 0,
        "this ConfigMap is in a cluster, and the API server cannot be used: %s; without a cluster, "
        "--event-sources names a file",
        reason.text);
    return GWC_ORIGIN_BAD;
}

int gwc_client_follow_event_source(struct gwc_client *client)
{
    struct gwc_origin_name name;

    if (client->options->origins.event_sources_given)
        return 0;
    if (!gwc_origin_of_spec(&name, client->version->spec))
        return 0;
    if (client->sources_origin == NULL ||
        !gwc_origin_is(client->sources_origin, &name, gwc_client_namespace(client)))
        GW_TRY(sources_open(client, &name));
    return 0;
}
