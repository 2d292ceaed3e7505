/* Validation: asks a gateway-server whether it can run an event source, in whichever contract it speaks. */
#ifndef GWC_VALIDATION_H
#define GWC_VALIDATION_H

#include "common/loop.h"
#include "gateway-client/spec/sources.h"
#include "gateway-client/stream/server.h"

enum gwc_validity {
    GWC_VALID,
    GWC_INVALID,     /* the server says no: `problems` */
    GWC_UNREACHABLE, /* nobody answered, or nonsense: `reason` */
};

/* Words about a server that answers UNIMPLEMENTED: printf, with the name of the contract. */
#define GWC_UNSPOKEN "it does not speak %s; \"contract: auto\" finds out what it speaks"

struct gwc_validated {
    enum gwc_validity validity;
    enum gwc_contract contract;         /* the one that answered; of GWC_VALID only */
    const struct gw_problems *problems; /* borrowed during done(); lines count in the source's config */
    const char *reason;                 /* borrowed during done() */
};

/* The problems, with the lines of the file that the user edits. */
void gwc_validated_words(const struct gwc_validated *validated, const struct gwc_source *source,
                         struct gw_reason *words);
/* The event source that holds what this one asks for, when nothing else is wrong with it; NULL: none. Borrowed. */
const char *gwc_validated_holder(const struct gwc_validated *validated);

struct gwc_validation;

struct gwc_validation_options {
    struct gw_loop *loop;
    struct gwc_channel *channel; /* held: taken over, also by a begin that fails */
    enum gwc_contract contract;  /* AUTO: ours first, then Argo's, then generic */
    const char *gateway, *namespace_;
    const struct gwc_source *source;
    int64_t deadline_ms; /* of each question */
};

/* Everything else is copied. `done` runs on the loop, exactly once, never from within this call. Loop thread. */
int gwc_validation_begin(struct gwc_validation **ret_validation, const struct gwc_validation_options *options,
                         void (*done)(void *user, const struct gwc_validated *validated),
                         void *user) GW_MUST_CHECK;
/* done() is not called any more. The handle is dead after done() anyway. */
struct gwc_validation *gwc_validation_cancel(struct gwc_validation *validation);

#endif
