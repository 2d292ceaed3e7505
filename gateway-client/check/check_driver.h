/* gRPC for a command: calls that block. What comes on a stream waits until it is asked for, and HTTP/2's flow control holds the
 * server meanwhile. One thread. */
#ifndef GWC_CHECK_DRIVER_H
#define GWC_CHECK_DRIVER_H

#include "common/rpc_client.h"

struct gwc_answer {
    int status;
    char message[GW_REASON_MAX];
    struct gw_bytes body;
    int64_t took_ms;
};
void gwc_answer_done(struct gwc_answer *answer);

/* A unary call; `path` is a literal. */
int gwc_ask(struct gw_rpc_channel *channel, const char *path, const ProtobufCMessage *request,
            int64_t timeout_ms, struct gwc_answer *ret_answer) GW_MUST_CHECK;

struct gwc_talk; /* a stream */
struct gwc_talk_options {
    const char *path; /* a literal */
    const ProtobufCMessage *first;
    bool half_close; /* nothing follows */
    unsigned credit; /* messages that may wait unread; 0: 16 */
};
int gwc_talk_open(struct gwc_talk **ret_talk, struct gw_rpc_channel *channel,
                  const struct gwc_talk_options *options) GW_MUST_CHECK;
/* Cancels it if it goes on. */
struct gwc_talk *gwc_talk_close(struct gwc_talk *talk);
GW_DEFINE_CLEANUP(struct gwc_talk *, gwc_talk_close)

enum gwc_talk_kind { GWC_TALK_SILENCE, GWC_TALK_MESSAGE, GWC_TALK_ENDED };
/* The next message, copied; or the end, again and again; or nothing within the time. */
int gwc_talk_next(struct gwc_talk *talk, int64_t timeout_ms, enum gwc_talk_kind *ret_kind,
                  struct gw_bytes *ret_message) GW_MUST_CHECK;
int gwc_talk_status(const struct gwc_talk *talk);          /* after the end */
const char *gwc_talk_message(const struct gwc_talk *talk); /* after the end */
/* What cannot be sent any more is dropped. */
void gwc_talk_send(struct gwc_talk *talk, const ProtobufCMessage *message);
void gwc_talk_half_close(struct gwc_talk *talk);
void gwc_talk_cancel(struct gwc_talk *talk);

#endif
