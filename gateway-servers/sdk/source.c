/* A source: one stream, from start to stop. The gRPC threads hand everything over to the loop by tasks; what modules emit
 * waits in `pending` until the loop's next turn, so that everything emitted in one turn travels in one message. */
#include "gateway-servers/sdk/server.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* waiting ──start──▶ running ──finish──▶ ending ──closed──▶ stopped (freed)
 *     └──refused──────────────────────────▲ */
enum source_state { SOURCE_WAITING, SOURCE_RUNNING, SOURCE_ENDING };

struct gws_source {
    struct gws_server *server;
    struct gw_rpc_server_call *call;
    enum gws_contract contract;
    struct gw_task begin_task, acknowledge_task, flush_task, closed_task, free_task;
    struct gws_request request;
    bool begun; /* gRPC thread */

    /* loop thread */
    struct gws_source *next, **link;
    enum source_state state;
    struct gws_config config;
    void *module_state;
    bool started, paused, paused_by_end;
    uint64_t acknowledged; /* told to the module */
    uint64_t ahead[GWS_AHEAD_MAX]; /* the last sequence of each flush that is not acknowledged */
    size_t ahead_count;
    struct gw_timer *hold_timer; /* opened when first needed */
    bool holding;

    atomic_uint_least64_t durable; /* acknowledged by the client */
    atomic_bool withdrawn;         /* the client half-closed */
    atomic_bool full;              /* gRPC's queue is at its limit */

    pthread_mutex_t lock; /* guards what follows */
    struct gws_pending **pending;
    size_t pending_count, pending_capacity;
    uint64_t emitted;
    bool ended;
};

/* ---- emitting: any thread ---- */

static struct gw_view pending_put(char **cursor, struct gw_view view)
{
    char *start = *cursor;

    if (view.size > 0)
        memcpy(start, view.data, view.size);
    start[view.size] = '\0'; /* protobuf-c's strings are C strings */
    *cursor += view.size + 1;
    return gw_view(start, view.size);
}

static size_t pending_bytes(const struct gws_event *event)
{
    size_t bytes = event->id.size + event->type.size + event->subject.size + event->data_content_type.size +
                   event->data.size + event->source.size + event->data_schema.size + event->partition_key.size +
                   event->position.size + 9;

    for (size_t i = 0; i < event->extensions_count; i++)
        bytes += event->extensions[i].name.size + event->extensions[i].value.size + 2;
    return bytes;
}

/* One block: the struct, the extensions, and every text behind them. */
static struct gws_pending *pending_new(const struct gws_event *event)
{
    size_t extensions = event->extensions_count * sizeof(struct gw_extension);
    size_t bytes = pending_bytes(event);
    struct gws_pending *pending = malloc(sizeof(*pending) + extensions + bytes);

    if (pending == NULL)
        return NULL;
    struct gw_extension *copies = (struct gw_extension *)(void *)(pending + 1);
    char *cursor = (char *)copies + extensions;
    struct gws_event *copy = &pending->event;
    *copy = *event;
    copy->id = pending_put(&cursor, event->id);
    copy->type = pending_put(&cursor, event->type);
    copy->subject = pending_put(&cursor, event->subject);
    copy->data_content_type = pending_put(&cursor, event->data_content_type);
    copy->data = pending_put(&cursor, event->data);
    copy->source = pending_put(&cursor, event->source);
    copy->data_schema = pending_put(&cursor, event->data_schema);
    copy->partition_key = pending_put(&cursor, event->partition_key);
    copy->position = pending_put(&cursor, event->position);
    for (size_t i = 0; i < event->extensions_count; i++) {
        copies[i] = event->extensions[i];
        copies[i].name = pending_put(&cursor, event->extensions[i].name);
        copies[i].value = pending_put(&cursor, event->extensions[i].value);
    }
    copy->extensions = copies;
    pending->size = bytes;
    return pending;
}

static bool source_room(struct gws_source *source)
{
    if (source->pending_count < source->pending_capacity)
        return true;
    size_t capacity = GW_MAX(source->pending_capacity * 2, (size_t)16);
    struct gws_pending **grown = realloc(source->pending, capacity * sizeof(*grown));
    if (grown == NULL)
        return false;
    source->pending = grown;
    source->pending_capacity = capacity;
    return true;
}

int gws_source_emit(struct gws_source *source, const struct gws_event *event, uint64_t *ret_sequence)
{
    struct gws_event complete = *event;

    if (complete.time_ns == 0 && complete.source.size == 0)
        complete.time_ns = gw_clock_realtime_ns();
    if (complete.type.size == 0)
        complete.type = gw_view_text(source->server->module->event_type);
    if (pending_bytes(&complete) > GWS_EVENT_BYTES_MAX)
        return GW_RAISE(-EMSGSIZE);
    struct gws_pending *pending = pending_new(&complete);
    if (pending == NULL)
        return GW_RAISE(-ENOMEM);

    pthread_mutex_lock(&source->lock);
    int fault = source->ended ? -ECANCELED : !source_room(source) ? -ENOMEM : 0;
    bool first = source->pending_count == 0;
    if (fault == 0) {
        pending->sequence = ++source->emitted;
        source->pending[source->pending_count++] = pending;
        if (ret_sequence != NULL)
            *ret_sequence = pending->sequence;
    }
    pthread_mutex_unlock(&source->lock);

    if (fault != 0) {
        free(pending);
        return GW_RAISE(fault);
    }
    gw_series_add(source->server->counts.emitted, 1);
    if (first)
        gw_loop_post(source->server->loop, &source->flush_task);
    return 0;
}

/* ---- handing over to gRPC: loop thread ---- */

static void source_finish(struct gws_source *source, int status, const char *words)
{
    pthread_mutex_lock(&source->lock);
    source->ended = true;
    pthread_mutex_unlock(&source->lock);
    gw_rpc_server_call_finish(source->call, status, words, NULL);
}

static void source_set_paused(struct gws_source *source, bool paused)
{
    const struct gws_module *module = source->server->module;

    if (source->paused == paused || source->state != SOURCE_RUNNING)
        return;
    source->paused = paused;
    gw_series_add(source->server->counts.paused, paused ? 1 : -1);
    if (paused && module->pause != NULL)
        module->pause(source, source->module_state);
    if (!paused && module->resume != NULL)
        module->resume(source, source->module_state);
}

static uint64_t source_emitted(struct gws_source *source)
{
    pthread_mutex_lock(&source->lock);
    uint64_t emitted = source->emitted;
    pthread_mutex_unlock(&source->lock);
    return emitted;
}

/* The window: pause when it is full, resume when half of it is free again, fail a module that does not listen. */
static void source_mind_window(struct gws_source *source)
{
    size_t window = source->server->module->window_max > 0 ? source->server->module->window_max : GWS_WINDOW_MAX;
    uint64_t open = source_emitted(source) - source->acknowledged;

    if (open > window * 16)
        gws_source_fail(source, "the source went on for %llu events while it was told to pause",
                        (unsigned long long)open);
    else if (open >= window || source->paused_by_end)
        source_set_paused(source, true);
    else if (open <= window / 2)
        source_set_paused(source, false);
}

static void source_tell_acknowledged(struct gws_source *source, uint64_t sequence)
{
    const struct gws_module *module = source->server->module;

    if (sequence > source_emitted(source)) {
        source_finish(source, GW_RPC_INVALID_ARGUMENT, "acknowledged an event that was never sent");
        return;
    }
    if (sequence <= source->acknowledged || source->state != SOURCE_RUNNING)
        return;
    gw_series_add(source->server->counts.acknowledged, (double)(sequence - source->acknowledged));
    source->acknowledged = sequence;
    if (module->acknowledged != NULL)
        module->acknowledged(source, source->module_state, sequence);
    source_mind_window(source);
}

/* How many of the pending events go into the next message. */
static size_t source_batch(struct gws_pending *const *pending, size_t count)
{
    size_t bytes = 0, taken = 0;

    while (taken < count && taken < GWS_BATCH_EVENTS_MAX) {
        bytes += pending[taken]->size;
        if (taken > 0 && bytes > GWS_BATCH_BYTES_MAX)
            break;
        taken++;
    }
    return taken;
}

static int source_send(struct gws_source *source, struct gws_pending *const *pending, size_t count)
{
    if (source->contract == GWS_CONTRACT_V1)
        return gws_v1_send(source->call, pending, count);
    return gws_argo_send(source->call, source->contract, source->request.identity.name, pending[0]);
}

/* Takes what is pending, sends as much as gRPC takes, puts the rest back in front of what came meanwhile. */
static size_t source_send_all(struct gws_source *source, struct gws_pending **pending, size_t count)
{
    size_t sent = 0;

    while (sent < count && !atomic_load(&source->full)) {
        size_t batch = source->contract == GWS_CONTRACT_V1 ? source_batch(pending + sent, count - sent) : 1;
        /* set before the send: writable() may come before send returns */
        atomic_store(&source->full, true);
        int result = source_send(source, pending + sent, batch);
        if (result != GW_RPC_FULL)
            atomic_store(&source->full, false);
        if (result < 0) {
            source_finish(source, GW_RPC_RESOURCE_EXHAUSTED, "the gateway-server has no memory left");
            return count;
        }
        sent += batch;
    }
    return sent;
}

static void source_put_back(struct gws_source *source, struct gws_pending **rest, size_t count)
{
    pthread_mutex_lock(&source->lock);
    size_t newer = source->pending_count;
    struct gws_pending **merged = malloc((count + newer) * sizeof(*merged));
    if (merged != NULL) {
        memcpy(merged, rest, count * sizeof(*merged));
        if (newer > 0)
            memcpy(merged + count, source->pending, newer * sizeof(*merged));
        free(source->pending);
        source->pending = merged;
        source->pending_count = source->pending_capacity = count + newer;
    }
    pthread_mutex_unlock(&source->lock);
    if (merged != NULL)
        return;
    for (size_t i = 0; i < count; i++)
        free(rest[i]);
    source_finish(source, GW_RPC_RESOURCE_EXHAUSTED, "the gateway-server has no memory left");
}

/* ---- company: while the client commits what it has, more events gather for the next message ---- */

static void on_hold_over(void *user)
{
    struct gws_source *source = user;

    source->holding = false;
    source->ahead_count = 0;
    gw_loop_post(source->server->loop, &source->flush_task);
}

/* True: wait, an acknowledgement or the timer flushes. A message of few events costs as much as one of many. */
static bool source_hold(struct gws_source *source)
{
    if (source->contract != GWS_CONTRACT_V1 || source->ahead_count < GWS_AHEAD_MAX)
        return false;
    if (source->hold_timer == NULL &&
        gw_timer_open(&source->hold_timer, source->server->loop, on_hold_over, source) < 0)
        return false;
    if (!source->holding)
        gw_timer_start(source->hold_timer, GWS_HOLD_MS);
    source->holding = true;
    return true;
}

static void source_ahead_push(struct gws_source *source, uint64_t sequence)
{
    if (source->ahead_count == GWS_AHEAD_MAX)
        memmove(source->ahead, source->ahead + 1, --source->ahead_count * sizeof(source->ahead[0]));
    source->ahead[source->ahead_count++] = sequence;
}

static void source_ahead_pop(struct gws_source *source, uint64_t acknowledged)
{
    size_t done = 0;

    while (done < source->ahead_count && source->ahead[done] <= acknowledged)
        done++;
    if (done == 0)
        return;
    source->ahead_count -= done;
    memmove(source->ahead, source->ahead + done, source->ahead_count * sizeof(source->ahead[0]));
    if (!source->holding)
        return;
    source->holding = false;
    gw_timer_stop(source->hold_timer);
    gw_loop_post(source->server->loop, &source->flush_task);
}

static void on_flush(struct gw_task *task)
{
    struct gws_source *source = GW_CONTAINER_OF(task, struct gws_source, flush_task);

    if (atomic_load(&source->full) || source_hold(source))
        return; /* writable(), an acknowledgement or the timer flushes again */
    pthread_mutex_lock(&source->lock);
    struct gws_pending **pending = source->pending;
    size_t count = source->pending_count;
    bool ended = source->ended;
    source->pending = NULL;
    source->pending_count = source->pending_capacity = 0;
    pthread_mutex_unlock(&source->lock);

    size_t sent = ended ? count : source_send_all(source, pending, count);
    uint64_t last = sent > 0 ? pending[sent - 1]->sequence : 0;
    for (size_t i = 0; i < sent; i++)
        free(pending[i]);
    if (sent < count)
        source_put_back(source, pending + sent, count - sent);
    free(pending);
    if (ended)
        return;
    if (sent > 0)
        source_ahead_push(source, last);
    if (source->contract != GWS_CONTRACT_V1 && sent > 0)
        source_tell_acknowledged(source, last);
    source_mind_window(source);
    if (sent < count && !atomic_load(&source->full))
        gw_loop_post(source->server->loop, &source->flush_task);
}

void gws_source_writable(struct gws_source *source)
{
    atomic_store(&source->full, false);
    gw_loop_post(source->server->loop, &source->flush_task);
}

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

    if (source->state != SOURCE_RUNNING)
        return;
    source_set_paused(source, false);
    if (module->stop != NULL)
        module->stop(source, source->module_state);
    source->state = SOURCE_ENDING;
    gw_series_add(source->server->counts.sources, -1);
}

/* A stream of the same event source that is still open belongs to a client that is gone or has changed its mind. */
static void source_replace_older(struct gws_source *source)
{
    for (struct gws_source *older = source->server->sources; older != NULL; older = older->next) {
        if (older == source || older->state != SOURCE_RUNNING || older->contract != source->contract ||
            !identity_same(&older->request.identity, &source->request.identity))
            continue;
        source_finish(older, GW_RPC_ABORTED, "replaced by a newer stream of the same event source");
        source_stop(older);
    }
}

static void source_refuse(struct gws_source *source, int status, const char *words)
{
    gw_series_add(source->server->counts.refused, 1);
    gw_log(GW_LOG_WARN, "event source refused", "source", source->request.identity.name, "gateway",
           source->request.identity.gateway, "reason", words, NULL);
    source->state = SOURCE_ENDING;
    source_finish(source, status, words);
}

static void source_start(struct gws_source *source)
{
    const struct gws_module *module = source->server->module;
    struct gw_reason reason = {""};

    source->module_state = calloc(1, GW_MAX(module->state_size, (size_t)1));
    if (source->module_state == NULL) {
        source_refuse(source, GW_RPC_RESOURCE_EXHAUSTED, "the gateway-server has no memory left");
        return;
    }
    source->state = SOURCE_RUNNING; /* from here on the module may emit, and fail */
    gw_series_add(source->server->counts.sources, 1);
    int fault = module->start(source, source->config.config, source->module_state, source->request.position, &reason);
    if (fault != 0) {
        gw_series_add(source->server->counts.sources, -1);
        if (reason.text[0] == '\0')
            gw_reason_set(&reason, "%s", gw_fault_trace());
        source_refuse(source, fault == -EINVAL ? GW_RPC_INVALID_ARGUMENT : GW_RPC_UNAVAILABLE, reason.text);
        return;
    }
    gw_series_add(source->server->counts.started, 1);
    gw_log(GW_LOG_INFO, "event source started", "source", source->request.identity.name, "gateway",
           source->request.identity.gateway, "id", source->request.identity.id, NULL);
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

    uint64_t durable = atomic_load(&source->durable);

    source_ahead_pop(source, durable);
    source_tell_acknowledged(source, durable);
}

static void on_free(struct gw_task *task)
{
    struct gws_source *source = GW_CONTAINER_OF(task, struct gws_source, free_task);

    for (size_t i = 0; i < source->pending_count; i++)
        free(source->pending[i]);
    free(source->pending);
    gw_timer_close(source->hold_timer);
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
    if (source->link != NULL) {
        *source->link = source->next;
        if (source->next != NULL)
            source->next->link = source->link;
    }
    /* other tasks of this source may still be queued: tasks run in the order of posting, so this one is the last */
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
    gw_log(GW_LOG_WARN, "event source failed", "source", source->request.identity.name, "reason", reason.text, NULL);
    source_finish(source, GW_RPC_UNAVAILABLE, reason.text);
}

/* ---- telling the client ---- */

void gws_source_started(struct gws_source *source)
{
    if (source->started)
        return;
    source->started = true;
    if (source->contract == GWS_CONTRACT_V1 && gws_v1_send_started(source->call) < 0)
        source_finish(source, GW_RPC_RESOURCE_EXHAUSTED, "the gateway-server has no memory left");
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
    source->flush_task.run = on_flush;
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

void gws_source_withdraw(struct gws_source *source)
{
    atomic_store(&source->withdrawn, true);
    source_finish(source, GW_RPC_OK, "");
}

void gws_source_closed(struct gws_source *source)
{
    gw_loop_post(source->server->loop, &source->closed_task);
}

/* ---- all of them ---- */

void gws_sources_end(struct gws_server *server, const char *words)
{
    for (struct gws_source *source = server->sources; source != NULL; source = source->next)
        source_finish(source, GW_RPC_UNAVAILABLE, words);
}

void gws_sources_pause(struct gws_server *server)
{
    for (struct gws_source *source = server->sources; source != NULL; source = source->next) {
        source->paused_by_end = true;
        source_set_paused(source, true);
    }
}

bool gws_sources_quiet(struct gws_server *server)
{
    for (struct gws_source *source = server->sources; source != NULL; source = source->next)
        if (source->state == SOURCE_RUNNING && source->acknowledged < source_emitted(source))
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
