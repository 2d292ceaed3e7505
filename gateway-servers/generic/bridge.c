/* One call at a user's server, kept up for ever. Hooks of gRPC run on its threads and hand over to the loop by a task. */
#include "gateway-servers/generic/bridge.h"

#include "common/backoff.h"
#include "common/clock.h"
#include "common/secrets.h"
#include "common/text.h"
#include "proto/argo/generic/generic.pb-c.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    CREDIT_MAX = 64, /* messages under way: none waits for the loop */
    HOLDS_MS =
        1000, /* the contract has no word for "started": a call that holds on a connection that is up */
    STEADY_MS = 10000 /* not one of those that end at once for ever */
};

static const char start_path[] = "/generic.Eventing/StartEventSource";

enum state { WAITING, CONNECTING, CONNECTED };

struct generic_bridge {
    struct generic_bridge_options options;
    const struct generic_bridge_hooks *hooks;
    void *user;
    struct gw_rpc_channel *channel;
    struct gw_rpc_stream *stream;
    struct gw_timer *timer; /* of the state: the next attempt; has it held? is it steady? */
    struct gw_backoff backoff;
    enum state state;
    struct gw_task task;
    bool abandoned; /* closed while the task was queued, which frees it */

    pthread_mutex_t lock; /* of what follows */
    bool first, ended, paused, refused;
    unsigned owed; /* credit that is held back while paused */
    char words[GW_REASON_MAX];
};

static void bridge_free(struct generic_bridge *bridge)
{
    pthread_mutex_destroy(&bridge->lock);
    free(bridge);
}

/* ---- threads of gRPC ---- */

/* One message was taken: the next one may come, unless we are paused. */
static void bridge_give_credit(struct generic_bridge *bridge)
{
    pthread_mutex_lock(&bridge->lock);
    bool paused = bridge->paused;
    bridge->owed += paused ? 1 : 0;
    pthread_mutex_unlock(&bridge->lock);
    if (!paused)
        gw_rpc_stream_credit(bridge->stream, 1);
}

static void bridge_refuse(struct generic_bridge *bridge, const char *words)
{
    pthread_mutex_lock(&bridge->lock);
    bridge->refused = true;
    snprintf(bridge->words, sizeof(bridge->words), "%s", words);
    pthread_mutex_unlock(&bridge->lock);
    gw_rpc_stream_cancel(bridge->stream);
    /* the end comes behind what was read already */
    gw_rpc_stream_credit(bridge->stream, CREDIT_MAX);
}

/* Argo's client does not look at the name, so many a server leaves it empty; a foreign one is a mistake of its author. */
static const char *event_fault(const struct generic_bridge *bridge, const Generic__Event *event)
{
    if (event == NULL)
        return "it sent what is not a generic.Event";
    if (event->name[0] != '\0' && strcmp(event->name, bridge->options.name) != 0)
        return "it sent an event with the name of another event source; send the name of EventSource.name, "
               "or none";
    return NULL;
}

static void on_message(void *user, struct gw_view bytes)
{
    struct generic_bridge *bridge = user;

    if (bridge->refused)
        return;
    Generic__Event *event = generic__event__unpack(NULL, bytes.size, (const uint8_t *)bytes.data);
    const char *fault = event_fault(bridge, event);
    if (fault == NULL &&
        bridge->hooks->payload(bridge->user, gw_view(event->payload.data, event->payload.len)) < 0)
        fault = "its event could not be taken";
    generic__event__free_unpacked(event, NULL);
    if (fault != NULL) {
        bridge_refuse(bridge, fault);
        return;
    }
    pthread_mutex_lock(&bridge->lock);
    bool tell = !bridge->first;
    bridge->first = true;
    pthread_mutex_unlock(&bridge->lock);
    if (tell)
        gw_loop_post(bridge->options.loop, &bridge->task);
    bridge_give_credit(bridge);
}

static void on_end(void *user, int status, const char *message)
{
    struct generic_bridge *bridge = user;

    pthread_mutex_lock(&bridge->lock);
    bridge->ended = true;
    if (!bridge->refused) /* our own words tell more than CANCELLED */
        gw_rpc_end_words(bridge->words, start_path, status, message);
    pthread_mutex_unlock(&bridge->lock);
    gw_loop_post(bridge->options.loop, &bridge->task);
}

/* ---- the loop ---- */

static void bridge_hang_up(struct generic_bridge *bridge)
{
    bridge->stream = gw_rpc_stream_free(bridge->stream);
    bridge->channel = gw_rpc_channel_close(bridge->channel);
}

static void bridge_wait(struct generic_bridge *bridge, const char *words)
{
    int64_t wait_ms = gw_backoff_next_ms(&bridge->backoff, gw_random_u64());
    char duration[GW_DURATION_MAX], told[2 * GW_REASON_MAX];

    bridge->state = WAITING;
    bridge_hang_up(bridge);
    gw_duration_format(duration, (wait_ms + 99) / 100 * 100 * GW_NS_PER_MS);
    snprintf(told, sizeof(told), "%s: %s; next attempt in %s", bridge->options.config->url, words, duration);
    gw_timer_start(bridge->timer, wait_ms);
    bridge->hooks->disconnected(bridge->user, told); /* may close us: nothing after it */
}

static void bridge_connected(struct generic_bridge *bridge)
{
    bridge->state = CONNECTED;
    gw_timer_start(bridge->timer, STEADY_MS);
    bridge->hooks->connected(bridge->user);
}

static void on_task(struct gw_task *task)
{
    struct generic_bridge *bridge = GW_CONTAINER_OF(task, struct generic_bridge, task);
    char words[GW_REASON_MAX];

    if (bridge->abandoned) {
        bridge_free(bridge);
        return;
    }
    pthread_mutex_lock(&bridge->lock);
    bool first = bridge->first, ended = bridge->ended;
    memcpy(words, bridge->words, sizeof(words));
    pthread_mutex_unlock(&bridge->lock);
    if (ended && bridge->state != WAITING)
        bridge_wait(bridge, words);
    else if (first && bridge->state == CONNECTING)
        bridge_connected(bridge);
}

/* The token as metadata; *ret_value is wiped by the caller. */
static int bridge_token(struct generic_bridge *bridge, struct gw_bytes *ret_value, struct gw_reason *reason)
{
    const struct gw_setting_secret *secret = &bridge->options.config->auth_secret;
    GW_AUTO(gw_secret_done) struct gw_bytes token = {0};

    if (secret->name == NULL)
        return 0;
    GW_TRY(gw_secret_read(secret, &token, reason));
    gw_bytes_append_text(ret_value, "Bearer ");
    gw_bytes_append_view(ret_value, gw_bytes_view(&token));
    if (gw_bytes_text(ret_value) == NULL)
        return GW_RAISE(-ENOMEM);
    return 0;
}

static int bridge_call(struct generic_bridge *bridge, struct gw_reason *reason)
{
    static const struct gw_rpc_stream_hooks hooks = {on_message, on_end};
    GW_AUTO(gw_secret_done) struct gw_bytes token = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes config = {0};
    Generic__EventSource start = GENERIC__EVENT_SOURCE__INIT;

    GW_TRY(bridge_token(bridge, &token, reason));
    generic_config_text(bridge->options.config, &config);
    if (config.failed)
        return GW_RAISE(-ENOMEM);
    struct gw_rpc_channel_options channel = {.address = bridge->options.config->url,
                                             .tls = generic_config_tls(bridge->options.config)};
    GW_TRY(gw_rpc_channel_open(&bridge->channel, bridge->options.rpc, &channel, reason));
    start.name = (char *)bridge->options.name;
    start.config = (ProtobufCBinaryData){config.size, (uint8_t *)config.data};
    const char *const metadata[] = {"authorization", gw_bytes_text(&token), NULL};
    struct gw_rpc_stream_options call = {.path = start_path,
                                         .first = &start.base,
                                         .half_close = true,
                                         .metadata = token.size > 0 ? metadata : NULL};
    int fault = gw_rpc_stream_open(&bridge->stream, bridge->channel, &call, &hooks, bridge);
    if (fault == -EINVAL)
        gw_reason_set(reason, "the token of authSecret has characters that HTTP/2 does not carry");
    return fault;
}

static void bridge_connect(struct generic_bridge *bridge)
{
    struct gw_reason reason = {""};

    bridge->state = CONNECTING;
    bridge->first = bridge->ended = bridge->refused = false; /* no call is open: the loop alone knows it */
    bridge->owed = 0;
    int fault = bridge_call(bridge, &reason);
    if (fault < 0) {
        bridge_wait(bridge, reason.text[0] != '\0' ? reason.text : gw_fault_trace());
        return;
    }
    gw_timer_start(bridge->timer, HOLDS_MS);
    pthread_mutex_lock(&bridge->lock);
    unsigned credit = bridge->paused ? 0 : CREDIT_MAX;
    bridge->owed += CREDIT_MAX - credit;
    pthread_mutex_unlock(&bridge->lock);
    if (credit > 0)
        gw_rpc_stream_credit(bridge->stream, credit);
}

static void on_time(void *user)
{
    struct generic_bridge *bridge = user;

    if (bridge->state == WAITING)
        bridge_connect(bridge);
    else if (bridge->state == CONNECTING && gw_rpc_channel_connected(bridge->channel))
        bridge_connected(bridge);
    else if (bridge->state == CONNECTING)
        gw_timer_start(bridge->timer, HOLDS_MS);
    else
        gw_backoff_reset(&bridge->backoff);
}

void generic_bridge_set_paused(struct generic_bridge *bridge, bool paused)
{
    pthread_mutex_lock(&bridge->lock);
    unsigned owed = paused ? 0 : bridge->owed;
    bridge->owed -= owed;
    bridge->paused = paused;
    pthread_mutex_unlock(&bridge->lock);
    if (owed > 0 && bridge->stream != NULL)
        gw_rpc_stream_credit(bridge->stream, owed);
}

int generic_bridge_open(struct generic_bridge **ret_bridge, const struct generic_bridge_options *options,
                        const struct generic_bridge_hooks *hooks, void *user)
{
    struct generic_bridge *bridge = calloc(1, sizeof(*bridge));

    if (bridge == NULL)
        return GW_RAISE(-ENOMEM);
    bridge->options = *options;
    bridge->hooks = hooks;
    bridge->user = user;
    bridge->task.run = on_task;
    bridge->backoff.policy = (struct gw_backoff_policy){500, 2, 30000};
    pthread_mutex_init(&bridge->lock, NULL);
    int fault = gw_timer_open(&bridge->timer, options->loop, on_time, bridge);
    if (fault < 0) {
        bridge_free(bridge);
        return fault;
    }
    gw_timer_start(bridge->timer, 0);
    *ret_bridge = bridge;
    return 0;
}

struct generic_bridge *generic_bridge_close(struct generic_bridge *bridge)
{
    if (bridge == NULL)
        return NULL;
    bridge->timer = gw_timer_close(bridge->timer);
    bridge_hang_up(bridge); /* no hook of gRPC runs after this */
    bridge->abandoned = true;
    if (!gw_task_queued(&bridge->task))
        bridge_free(bridge);
    return NULL;
}
