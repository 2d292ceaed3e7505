/* gRPC client: two queues with their threads, channels, unary calls. Streams are in rpc_stream.c. */
#include "common/rpc_client_core.h"

#include <grpc/support/alloc.h>
#include <stdlib.h>

enum {
    CLIENT_CONNECT_TIMEOUT_MS = 5000,
    CLIENT_RECONNECT_INITIAL_MS = 500,
    CLIENT_RECONNECT_MAX_MS = 10000,
    CLIENT_RESOLVE_AGAIN_MS = 2000, /* a restarted pod has another address; gRPC's own 30 s are long */
    CLIENT_KEEPALIVE_TIMEOUT_MAX_MS = 20000,
};

/* A unary call: one batch, one completion. On its channel's list until then. */
struct rpc_unary {
    struct gw_rpc_tag tag;
    struct gw_rpc_channel *channel;
    struct rpc_unary *next, **link;
    grpc_call *call;
    gw_rpc_reply_fn *reply;
    void *user;
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *answer;
    grpc_status_code status;
    grpc_slice details;
    const char *error;
};

struct gw_rpc_channel {
    struct gw_rpc_client *client;
    grpc_channel *channel;
    pthread_mutex_t lock;
    struct rpc_unary *calls;
    atomic_uint references; /* the caller's and one for each unary call */
};

/* Client */

int gw_rpc_client_open(struct gw_rpc_client **ret_client)
{
    GW_AUTO(gw_rpc_client_closep) struct gw_rpc_client *client = calloc(1, sizeof(*client));

    if (client == NULL)
        return GW_RAISE(-ENOMEM);
    gw_rpc_init();
    GW_TRY(gw_rpc_queue_open(&client->streams, "rpc-streams"));
    GW_TRY(gw_rpc_queue_open(&client->unary, "rpc-unary"));
    *ret_client = GW_TAKE(client);
    return 0;
}

bool gw_rpc_client_quiet(const struct gw_rpc_client *client)
{
    return atomic_load(&client->channels) == 0;
}

struct gw_rpc_client *gw_rpc_client_close(struct gw_rpc_client *client)
{
    if (client == NULL)
        return NULL;
    assert(gw_rpc_client_quiet(client));
    gw_rpc_queue_close(&client->unary);
    gw_rpc_queue_close(&client->streams);
    gw_rpc_done();
    free(client);
    return NULL;
}

/* Channel */

static grpc_arg argument(const char *name, int64_t value)
{
    return (grpc_arg){
        .type = GRPC_ARG_INTEGER, .key = (char *)name, .value.integer = (int)GW_MIN(value, INT32_MAX)};
}

static grpc_arg argument_text(const char *name, const char *value)
{
    return (grpc_arg){.type = GRPC_ARG_STRING, .key = (char *)name, .value.string = (char *)value};
}

/* Measured reasons: reference/grpc-core.md. With the bandwidth probe on, an unread stream would buffer 4 MiB.
 */
static size_t channel_arguments(grpc_arg arguments[static 20], const struct gw_rpc_channel_options *options)
{
    int64_t connect_ms =
        options->connect_timeout_ms > 0 ? options->connect_timeout_ms : CLIENT_CONNECT_TIMEOUT_MS;
    int64_t initial_ms =
        options->reconnect_initial_ms > 0 ? options->reconnect_initial_ms : CLIENT_RECONNECT_INITIAL_MS;
    int64_t max_ms = options->reconnect_max_ms > 0 ? options->reconnect_max_ms : CLIENT_RECONNECT_MAX_MS;
    size_t n = 0;

    arguments[n++] = argument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    arguments[n++] = argument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, GW_RPC_LOOKAHEAD);
    arguments[n++] = argument(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, GW_RPC_MESSAGE_MAX);
    arguments[n++] = argument(GRPC_ARG_ENABLE_RETRIES, 0);
    arguments[n++] = argument(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments[n++] = argument(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, CLIENT_RESOLVE_AGAIN_MS);
    arguments[n++] = argument(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, initial_ms);
    arguments[n++] = argument(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, GW_MAX(max_ms, initial_ms));
    arguments[n++] = argument(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS,
                              connect_ms); /* the attempt's timeout, whatever its name */
    if (options->keepalive_ms > 0) {
        arguments[n++] = argument(GRPC_ARG_KEEPALIVE_TIME_MS, options->keepalive_ms);
        arguments[n++] = argument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                                  GW_MIN(options->keepalive_ms, CLIENT_KEEPALIVE_TIMEOUT_MAX_MS));
        arguments[n++] = argument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    }
    if (options->tls.server_name != NULL) {
        arguments[n++] = argument_text(GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, options->tls.server_name);
        arguments[n++] = argument_text(GRPC_ARG_DEFAULT_AUTHORITY, options->tls.server_name);
    }
    return n;
}

static int channel_connect(struct gw_rpc_channel *channel, const struct gw_rpc_channel_options *options,
                           struct gw_reason *reason)
{
    GW_AUTO(gw_freep) char *target = NULL;
    struct gw_rpc_address address;
    grpc_channel_credentials *credentials;
    grpc_arg arguments[20];
    grpc_channel_args all = {.args = arguments};

    GW_TRY(gw_rpc_address_parse(&address, options->address, reason));
    target = gw_rpc_address_target(&address);
    if (target == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(gw_rpc_tls_client(&credentials, &options->tls, reason));
    all.num_args = channel_arguments(arguments, options);
    channel->channel = grpc_channel_create(target, credentials, &all);
    grpc_channel_credentials_release(credentials);
    return channel->channel == NULL ? GW_RAISE(-ENOMEM) : 0;
}

static void channel_unref(struct gw_rpc_channel *channel)
{
    if (atomic_fetch_sub(&channel->references, 1) != 1)
        return;
    if (channel->channel != NULL)
        grpc_channel_destroy(channel->channel);
    pthread_mutex_destroy(&channel->lock);
    free(channel);
}

int gw_rpc_channel_open(struct gw_rpc_channel **ret_channel, struct gw_rpc_client *client,
                        const struct gw_rpc_channel_options *options, struct gw_reason *reason)
{
    GW_AUTO(gw_rpc_channel_closep) struct gw_rpc_channel *channel = calloc(1, sizeof(*channel));

    if (channel == NULL)
        return GW_RAISE(-ENOMEM);
    channel->client = client;
    pthread_mutex_init(&channel->lock, NULL);
    atomic_init(&channel->references, 1);
    atomic_fetch_add(&client->channels, 1);
    GW_TRY(channel_connect(channel, options, reason));
    *ret_channel = GW_TAKE(channel);
    return 0;
}

struct gw_rpc_channel *gw_rpc_channel_close(struct gw_rpc_channel *channel)
{
    if (channel == NULL)
        return NULL;
    pthread_mutex_lock(&channel->lock);
    for (struct rpc_unary *unary = channel->calls; unary != NULL; unary = unary->next)
        grpc_call_cancel(unary->call, NULL);
    pthread_mutex_unlock(&channel->lock);
    atomic_fetch_sub(&channel->client->channels, 1);
    channel_unref(channel);
    return NULL;
}

grpc_call *gw_rpc_channel_call(struct gw_rpc_channel *channel, struct gw_rpc_queue *queue, const char *path,
                               gpr_timespec deadline)
{
    return grpc_channel_create_call(channel->channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue->completions,
                                    grpc_slice_from_static_string(path), NULL, deadline, NULL);
}

bool gw_rpc_channel_connected(struct gw_rpc_channel *channel)
{
    return grpc_channel_check_connectivity_state(channel->channel, 0) == GRPC_CHANNEL_READY;
}

struct gw_rpc_client *gw_rpc_channel_client(const struct gw_rpc_channel *channel)
{
    return channel->client;
}

/* Unary calls */

static void unary_link(struct rpc_unary *unary)
{
    struct gw_rpc_channel *channel = unary->channel;

    unary->next = channel->calls;
    unary->link = &channel->calls;
    if (unary->next != NULL)
        unary->next->link = &unary->next;
    channel->calls = unary;
}

static void unary_unlink(struct rpc_unary *unary)
{
    *unary->link = unary->next;
    if (unary->next != NULL)
        unary->next->link = unary->link;
}

static void unary_free(struct rpc_unary *unary)
{
    grpc_call_unref(unary->call);
    grpc_metadata_array_destroy(&unary->initial);
    grpc_metadata_array_destroy(&unary->trailing);
    if (unary->answer != NULL)
        grpc_byte_buffer_destroy(unary->answer);
    grpc_slice_unref(unary->details);
    gpr_free((void *)unary->error);
    channel_unref(unary->channel);
    free(unary);
}

static void unary_deliver(struct rpc_unary *unary)
{
    struct gw_rpc_unpacked answer;
    char *message = gw_rpc_text_in(unary->details);

    gw_rpc_unpack(&answer, unary->answer);
    if (unary->status == GRPC_STATUS_OK && unary->answer == NULL)
        unary->reply(unary->user, GW_RPC_INTERNAL, "the server answered OK without a message", answer.view);
    else
        unary->reply(unary->user, (int)unary->status, message, answer.view);
    gw_rpc_unpack_done(&answer);
    gpr_free(message);
}

static void unary_on_done(struct gw_rpc_tag *tag, bool ok)
{
    struct rpc_unary *unary = GW_CONTAINER_OF(tag, struct rpc_unary, tag);

    (void)ok; /* a batch that receives a status always completes well; the status tells */
    pthread_mutex_lock(&unary->channel->lock);
    unary_unlink(unary);
    pthread_mutex_unlock(&unary->channel->lock);
    unary_deliver(unary);
    unary_free(unary);
}

static void unary_start(struct rpc_unary *unary, grpc_byte_buffer *request)
{
    grpc_op operations[6] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = request},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
        {.op = GRPC_OP_RECV_INITIAL_METADATA,
         .data.recv_initial_metadata.recv_initial_metadata = &unary->initial},
        {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &unary->answer},
        {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
         .data.recv_status_on_client = {.trailing_metadata = &unary->trailing,
                                        .status = &unary->status,
                                        .status_details = &unary->details,
                                        .error_string = &unary->error}},
    };

    gw_rpc_start(unary->call, operations, GW_COUNT_OF(operations), &unary->tag);
}

int gw_rpc_call(struct gw_rpc_channel *channel, const char *path, const ProtobufCMessage *request,
                int64_t deadline_ms, gw_rpc_reply_fn *reply, void *user)
{
    struct rpc_unary *unary = calloc(1, sizeof(*unary));
    grpc_byte_buffer *packed;

    if (unary == NULL)
        return GW_RAISE(-ENOMEM);
    unary->tag = gw_rpc_tag(unary_on_done);
    unary->channel = channel;
    unary->reply = reply;
    unary->user = user;
    unary->details = grpc_empty_slice();
    grpc_metadata_array_init(&unary->initial);
    grpc_metadata_array_init(&unary->trailing);
    atomic_fetch_add(&channel->references, 1);
    unary->call = gw_rpc_channel_call(channel, &channel->client->unary, path, gw_rpc_deadline(deadline_ms));
    packed = gw_rpc_pack(request);
    pthread_mutex_lock(&channel->lock);
    unary_link(unary);
    unary_start(unary, packed); /* under the lock: its completion frees it, and takes the lock first */
    pthread_mutex_unlock(&channel->lock);
    grpc_byte_buffer_destroy(packed);
    return 0;
}
