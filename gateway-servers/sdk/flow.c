/* Flow: from what is pending to gRPC, with the window, the pause and the acknowledgements. Loop thread. */
#include "gateway-servers/sdk/source_parts.h"

#include <stdlib.h>

static void source_end(struct gws_source *source)
{
    pthread_mutex_lock(&source->lock);
    source->ended = true;
    pthread_mutex_unlock(&source->lock);
}

void gws_flow_finish(struct gws_source *source, int status, const char *words)
{
    source_end(source);
    gw_rpc_server_call_finish(source->call, status, words, NULL);
}

void gws_flow_set_paused(struct gws_source *source, bool paused)
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

/* The window: pause when it is full, resume when half of it is free again, fail a module that does not
 * listen. */
static void source_mind_window(struct gws_source *source)
{
    size_t window =
        source->server->module->window_max > 0 ? source->server->module->window_max : GWS_WINDOW_MAX;
    uint64_t open = gws_source_emitted(source) - source->acknowledged;

    if (open > window * 16)
        gws_source_fail(source, "the source went on for %llu events while it was told to pause",
                        (unsigned long long)open);
    else if (open >= window || source->paused_by_end)
        gws_flow_set_paused(source, true);
    else if (open <= window / 2)
        gws_flow_set_paused(source, false);
}

static void source_tell_acknowledged(struct gws_source *source, uint64_t sequence)
{
    const struct gws_module *module = source->server->module;

    if (sequence > gws_source_emitted(source)) {
        gws_flow_finish(source, GW_RPC_INVALID_ARGUMENT, "acknowledged an event that was never sent");
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

/* True: it was taken. Whoever sends has set `full` before, as writable() may come before the send returns; notices fill
 * gRPC's queue, too, and then it comes as well. */
static bool source_is_taken(struct gws_source *source, int result)
{
    if (result == -ENOBUFS)
        return false;
    if (result != GW_RPC_FULL)
        atomic_store(&source->full, false);
    if (result == GW_RPC_OVER)
        source_end(source);
    else if (result < 0)
        gws_flow_finish(source, GW_RPC_RESOURCE_EXHAUSTED, "the gateway-server has no memory left");
    return result == 0 || result == GW_RPC_FULL;
}

bool gws_flow_tell_started(struct gws_source *source)
{
    if (source->told_started || source->contract != GWS_CONTRACT_V1)
        return true;
    atomic_store(&source->full, true);
    source->told_started = source_is_taken(source, gws_v1_send_started(source->call));
    return source->told_started;
}

/* As many as gRPC takes. */
static size_t source_send_all(struct gws_source *source, struct gws_pending **pending, size_t count)
{
    size_t sent = 0;

    source->started |= count > 0; /* an event is a sign, too, and must not come before this one */
    if (source->started && !gws_flow_tell_started(source))
        return 0;
    while (sent < count && !atomic_load(&source->full)) {
        size_t batch = source->contract == GWS_CONTRACT_V1 ? source_batch(pending + sent, count - sent) : 1;
        atomic_store(&source->full, true);
        if (!source_is_taken(source, source_send(source, pending + sent, batch)))
            break;
        sent += batch;
    }
    return sent;
}

/* In front of what came meanwhile. */
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
    gws_flow_finish(source, GW_RPC_RESOURCE_EXHAUSTED, "the gateway-server has no memory left");
}

/* ---- company: while the client commits what it has, more events gather for the next message ---- */

static void on_hold_over(void *user)
{
    struct gws_source *source = user;

    source->holding = false;
    source->ahead_count = 0;
    gw_loop_post(source->server->loop, &source->flush_task);
}

/* True: wait, an acknowledgement or the timer flushes. A message of few events costs as much as one of many.
 */
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

void gws_flow_close(struct gws_source *source)
{
    source->closed = true;
    source->holding = false;
    source->hold_timer = gw_timer_close(source->hold_timer);
}

void gws_flow_flush(struct gw_task *task)
{
    struct gws_source *source = GW_CONTAINER_OF(task, struct gws_source, flush_task);

    if (source->closed || atomic_load(&source->full) || source_hold(source))
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

void gws_flow_acknowledged(struct gws_source *source, uint64_t sequence)
{
    source_ahead_pop(source, sequence);
    source_tell_acknowledged(source, sequence);
}

void gws_source_writable(struct gws_source *source)
{
    atomic_store(&source->full, false);
    gw_loop_post(source->server->loop, &source->flush_task);
}
