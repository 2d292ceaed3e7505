/* A source: one stream, from start to stop. The gRPC threads hand everything over to the loop by tasks; what
 * modules emit waits in `pending` until the loop's next turn, so that everything emitted in one turn travels
 * in one message. */
#include "gateway-servers/sdk/source_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { START_AGAIN_MS = 50, STARTS_MAX = 40 };

/* ---- starting ---- */

static bool identity_same(const struct gws_identity *a, const struct gws_identity *b)
{
    /* first what tells thousands apart: each start looks at all that run */
    return strcmp(a->name, b->name) == 0 && strcmp(a->gateway, b->gateway) == 0 &&
           strcmp(a->namespace_, b->namespace_) == 0;
}

static void source_stop(struct gws_source *source)
{
    const struct gws_module *module = source->server->module;

    if (source->state == SOURCE_WAITING)
        source->state = SOURCE_ENDING;
    if (source->state != SOURCE_RUNNING)
        return;
    gws_flow_set_paused(source, false);
    if (module->stop != NULL)
        module->stop(source, source->module_state);
    source->state = SOURCE_ENDING;
    gw_series_add(source->server->counts.sources, -1);
}

/* A stream of the same event source that is still open belongs to a client that is gone or has changed its
 * mind. */
static void source_replace_older(struct gws_source *source)
{
    for (struct gws_source *older = source->server->sources; older != NULL; older = older->next) {
        if (older == source || older->state == SOURCE_ENDING || older->contract != source->contract ||
            !identity_same(&older->request.identity, &source->request.identity))
            continue;
        gws_flow_finish(older, GW_RPC_ABORTED, "replaced by a newer stream of the same event source");
        source_stop(older);
    }
}

static void source_refuse(struct gws_source *source, int status, const char *words)
{
    gw_series_add(source->server->counts.refused, 1);
    gw_log(GW_LOG_WARN, "event source refused", "source", source->request.identity.name, "gateway",
           source->request.identity.gateway, "reason", words, NULL);
    source->state = SOURCE_ENDING;
    gws_flow_finish(source, status, words);
}

static void on_start_again(void *user);

/* What the module needs is on its way: true when another attempt will be made. */
static bool source_start_later(struct gws_source *source, int fault)
{
    if (fault != -EAGAIN || ++source->starts >= STARTS_MAX || source->server->stopping)
        return false;
    if (source->again_timer == NULL &&
        gw_timer_open(&source->again_timer, source->server->loop, on_start_again, source) < 0)
        return false;
    source->state = SOURCE_WAITING;
    gw_timer_start(source->again_timer, START_AGAIN_MS);
    return true;
}

static void source_start_failed(struct gws_source *source, int fault, struct gw_reason *reason)
{
    gw_series_add(source->server->counts.sources, -1);
    if (source_start_later(source, fault))
        return;
    if (reason->text[0] == '\0')
        gw_reason_set(reason, "%s", gw_fault_trace());
    source_refuse(source, fault == -EINVAL ? GW_RPC_INVALID_ARGUMENT : GW_RPC_UNAVAILABLE, reason->text);
}

static void source_start(struct gws_source *source)
{
    const struct gws_module *module = source->server->module;
    struct gw_reason reason = {""};

    free(source->module_state);
    source->module_state = calloc(1, GW_MAX(module->state_size, (size_t)1));
    if (source->module_state == NULL) {
        source_refuse(source, GW_RPC_RESOURCE_EXHAUSTED, "the gateway-server has no memory left");
        return;
    }
    source->state = SOURCE_RUNNING; /* from here on the module may emit, and fail */
    gw_series_add(source->server->counts.sources, 1);
    int fault =
        module->start(source, source->config.config, source->module_state, source->request.position, &reason);
    if (fault != 0) {
        source_start_failed(source, fault, &reason);
        return;
    }
    gw_series_add(source->server->counts.started, 1);
    gw_log(GW_LOG_INFO, "event source started", "source", source->request.identity.name, "gateway",
           source->request.identity.gateway, "id", source->request.identity.id, NULL);
}

/* Unless the stream has ended meanwhile, or a newer one has taken its place. */
static void on_start_again(void *user)
{
    struct gws_source *source = user;

    if (source->state == SOURCE_WAITING)
        source_start(source);
}

static void on_begin(struct gw_task *task)
{
    struct gws_source *source = GW_CONTAINER_OF(task, struct gws_source, begin_task);
    struct gws_server *server = source->server;
    struct gw_problems problems = {0};

    source->next = server->sources;
    source->link = &server->sources;
    if (source->next != NULL)
        source->next->link = &source->next;
    server->sources = source;
    if (server->stopping) {
        source_refuse(source, GW_RPC_UNAVAILABLE, "the gateway-server is shutting down");
        return;
    }
    source_replace_older(source);
    int loaded = gws_config_load(server, &source->request, &source->config, &problems);
    if (loaded < 0) {
        source_refuse(source, GW_RPC_RESOURCE_EXHAUSTED, "the gateway-server has no memory left");
    } else if (gw_problems_any(&problems)) {
        struct gw_reason reason = {""};
        gw_problems_reason(&problems, &reason);
        source_refuse(source, GW_RPC_INVALID_ARGUMENT, reason.text);
    } else {
        source_start(source);
    }
    gw_problems_done(&problems);
}

/* ---- ending ---- */

static void on_acknowledge(struct gw_task *task)
{
    struct gws_source *source = GW_CONTAINER_OF(task, struct gws_source, acknowledge_task);

    gws_flow_acknowledged(source, atomic_load(&source->durable));
}

static void on_free(struct gw_task *task)
{
    struct gws_source *source = GW_CONTAINER_OF(task, struct gws_source, free_task);

    for (size_t i = 0; i < source->pending_count; i++)
        free(source->pending[i]);
    free(source->pending);
    gw_timer_close(source->again_timer);
    free(source->module_state);
    gws_config_done(&source->config);
    gw_arena_done(&source->request.arena);
    gw_rpc_server_call_release(source->call);
    pthread_mutex_destroy(&source->lock);
    free(source);
}

static void on_closed(struct gw_task *task)
{
    struct gws_source *source = GW_CONTAINER_OF(task, struct gws_source, closed_task);

    pthread_mutex_lock(&source->lock);
    source->ended = true;
    pthread_mutex_unlock(&source->lock);
    if (source->state == SOURCE_RUNNING)
        gw_log(GW_LOG_INFO, "event source stopped", "source", source->request.identity.name, "gateway",
               source->request.identity.gateway, NULL);
    source_stop(source);
    gws_flow_close(source);
    if (source->link != NULL) {
        *source->link = source->next;
        if (source->next != NULL)
            source->next->link = source->link;
    }
    /* other tasks of this source may still be queued: tasks run in the order of posting, and from here on
     * none is posted, so this one is the last */
    gw_loop_post(source->server->loop, &source->free_task);
}

void gws_source_fail(struct gws_source *source, const char *format, ...)
{
    struct gw_reason reason;
    char text[GW_REASON_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    gw_reason_set(&reason, "%s", text);
    gw_log(GW_LOG_WARN, "event source failed", "source", source->request.identity.name, "reason", reason.text,
           NULL);
    gws_flow_finish(source, GW_RPC_UNAVAILABLE, reason.text);
}

/* ---- telling the client ---- */

void gws_source_started(struct gws_source *source)
{
    if (source->started)
        return;
    source->started = true;
    (void)gws_flow_tell_started(source);
}

void gws_source_notice(struct gws_source *source, bool warning, const char *format, ...)
{
    char text[GW_REASON_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    gw_log(warning ? GW_LOG_WARN : GW_LOG_INFO, text, "source", source->request.identity.name, NULL);
    /* a notice that cannot be sent is only a notice: the log has it */
    if (source->contract == GWS_CONTRACT_V1)
        (void)!gws_v1_send_notice(source->call, warning, text);
}

/* ---- seen from the gRPC threads ---- */

int gws_source_new(struct gws_source **ret_source, struct gws_server *server, struct gw_rpc_server_call *call,
                   enum gws_contract contract)
{
    struct gws_source *source = calloc(1, sizeof(*source));

    if (source == NULL)
        return GW_RAISE(-ENOMEM);
    source->server = server;
    source->call = call;
    source->contract = contract;
    source->begin_task.run = on_begin;
    source->acknowledge_task.run = on_acknowledge;
    source->flush_task.run = gws_flow_flush;
    source->closed_task.run = on_closed;
    source->free_task.run = on_free;
    pthread_mutex_init(&source->lock, NULL);
    *ret_source = source;
    return 0;
}

void gws_source_begin(struct gws_source *source, struct gws_request *request)
{
    source->request = *request;
    source->begun = true;
    gw_loop_post(source->server->loop, &source->begin_task);
}

bool gws_source_begun(const struct gws_source *source)
{
    return source->begun;
}

void gws_source_acknowledge(struct gws_source *source, uint64_t sequence)
{
    if (sequence <= atomic_load(&source->durable))
        return;
    atomic_store(&source->durable, sequence);
    gw_loop_post(source->server->loop, &source->acknowledge_task);
}

/* The end of messages that follows our own end of the stream says nothing about the client. */
void gws_source_withdraw(struct gws_source *source)
{
    pthread_mutex_lock(&source->lock);
    bool ended = source->ended;
    pthread_mutex_unlock(&source->lock);
    if (ended)
        return;
    atomic_store(&source->withdrawn, true);
    gws_flow_finish(source, GW_RPC_OK, "");
}

/* A call that is cut off first ends its messages, which looks like a half-close; only now the two are told apart. */
void gws_source_closed(struct gws_source *source, bool cancelled)
{
    if (cancelled)
        atomic_store(&source->withdrawn, false);
    gw_loop_post(source->server->loop, &source->closed_task);
}

/* ---- all of them ---- */

void gws_sources_end(struct gws_server *server, const char *words)
{
    for (struct gws_source *source = server->sources; source != NULL; source = source->next)
        gws_flow_finish(source, GW_RPC_UNAVAILABLE, words);
}

void gws_sources_pause(struct gws_server *server)
{
    for (struct gws_source *source = server->sources; source != NULL; source = source->next) {
        source->paused_by_end = true;
        gws_flow_set_paused(source, true);
    }
}

bool gws_sources_quiet(struct gws_server *server)
{
    for (struct gws_source *source = server->sources; source != NULL; source = source->next)
        if (source->state == SOURCE_RUNNING && source->acknowledged < gws_source_emitted(source))
            return false;
    return true;
}

const struct gws_identity *gws_source_identity(const struct gws_source *source)
{
    return &source->request.identity;
}

void *gws_source_state(struct gws_source *source)
{
    return source->module_state;
}

struct gws_server *gws_source_server(struct gws_source *source)
{
    return source->server;
}

bool gws_source_withdrawn(const struct gws_source *source)
{
    return atomic_load(&source->withdrawn);
}

bool gws_source_paused(const struct gws_source *source)
{
    return source->paused;
}
