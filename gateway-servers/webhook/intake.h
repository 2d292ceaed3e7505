/* Intake: from a request in parts to events. Pure; one thread. */
#ifndef WEBHOOK_INTAKE_H
#define WEBHOOK_INTAKE_H

#include "gateway-servers/sdk/module.h"
#include "gateway-servers/webhook/config.h"
#include "gateway-servers/webhook/payload.h"

struct webhook_intake;

/* Both are borrowed until close. */
int webhook_intake_open(struct webhook_intake **ret_intake, const struct webhook_config *config,
                        const struct webhook_auth *auth) GW_MUST_CHECK;
struct webhook_intake *webhook_intake_close(struct webhook_intake *intake);
GW_DEFINE_CLEANUP(struct webhook_intake *, webhook_intake_close)

/* Calls `emit` for each event of the request: one for a plain request; as many as it carries, none or more,
 * when it is a CloudEvent or a batch of them, which keep their attributes. Attributes of `extensions` are
 * added where the event does not have them; what is no legal value (control characters, not UTF-8) is left
 * out. Events are borrowed during `emit`; a negative return of it ends the walk and is passed up. Verdicts,
 * with words: BAD (400), FORMAT (415); nothing was emitted then. */
enum { WEBHOOK_INTAKE_BAD = 1, WEBHOOK_INTAKE_FORMAT = 2 };
int webhook_intake_take(struct webhook_intake *intake, const struct webhook_request *request,
                        int (*emit)(void *user, const struct gws_event *event), void *user,
                        struct gw_reason *reason) GW_MUST_CHECK;

#endif
