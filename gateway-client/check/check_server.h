/* Inside check-server: a gateway-server, tried out rule by rule of its contract. check_<group>.c tries the rules of one group;
 * what it sees becomes findings, which check_report.c prints. It is a command: it blocks where it waits. */
#ifndef GWC_CHECK_SERVER_H
#define GWC_CHECK_SERVER_H

#include "common/clock.h"
#include "gateway-client/check/check_driver.h"
#include "gateway-client/spec/spec.h"

#include "common/node.h"

#include <stdio.h>

/* ---- rules (check_rules.c) ---- */

/* In the order of the report. What each says, and its number, is in the table. */
enum gwc_rule {
    GWC_RULE_UNIMPLEMENTED,
    GWC_RULE_ANSWERS,
    GWC_RULE_HEALTH,
    GWC_RULE_TYPE,
    GWC_RULE_SCHEMA,
    GWC_RULE_GOOD_CONFIG,
    GWC_RULE_BAD_CONFIG,
    GWC_RULE_UNKNOWN_FIELD,
    GWC_RULE_PROBLEM_WORDS,
    GWC_RULE_STARTED,
    GWC_RULE_REFUSED,
    GWC_RULE_FIRST_REQUEST,
    GWC_RULE_UNKNOWN_REQUEST,
    GWC_RULE_SEQUENCE,
    GWC_RULE_MESSAGE_SIZE,
    GWC_RULE_ATTRIBUTES,
    GWC_RULE_TIME,
    GWC_RULE_DATA,
    GWC_RULE_ID,
    GWC_RULE_ID_BY_POSITION,
    GWC_RULE_WINDOW,
    GWC_RULE_GOES_ON,
    GWC_RULE_ODD_ACKNOWLEDGEMENT,
    GWC_RULE_POSITION,
    GWC_RULE_FOREIGN_POSITION,
    GWC_RULE_HALF_CLOSE,
    GWC_RULE_CANCEL,
    GWC_RULE_REPLACED,
    GWC_RULE_CROWD,
    GWC_RULE_GARBAGE,
    GWC_RULE_ERROR_WORDS,
    GWC_RULE_NOTICE_WORDS,
    GWC_RULE_ARGO_VALIDATION,
    GWC_RULE_ARGO_NAME,
    GWC_RULE_ARGO_STAYS_OPEN,
    GWC_RULES
};

struct gwc_rule_row {
    const char *number; /* "R14", as the contract has it */
    unsigned contracts; /* bits of enum gwc_contract: where it holds */
    const char *title;  /* "numbers the events of a stream 1, 2, 3, … without gaps" */
    const char *why;
    const char *where; /* file and section */
};
extern const struct gwc_rule_row gwc_rule_rows[GWC_RULES];
/* The table as Markdown. */
void gwc_rules_markdown(struct gw_bytes *out);

/* Worse ones win; of equal ones the first. */
enum gwc_verdict { GWC_VERDICT_NOT_TRIED, GWC_VERDICT_OK, GWC_VERDICT_WARNING, GWC_VERDICT_FAILED };
extern const char *const gwc_verdict_names[]; /* in enum order, as JSON has them */

struct gwc_finding {
    enum gwc_verdict verdict;
    char seen[GW_REASON_MAX]; /* "" : nothing was said */
};

/* ---- the check ---- */

struct gwc_check_options {
    const char *address;
    const char *type;      /* NULL: that of Describe */
    const char *name;      /* of the event source */
    const char *trigger;   /* shell command that makes events happen; NULL: they come by themselves */
    struct gw_view config; /* as the user wrote it; "${N}" is replaced */
    bool config_given;
    enum gwc_contract contract; /* AUTO: the newest that the server speaks */
    struct gw_rpc_tls tls;
    int64_t timeout_ms; /* for each thing that is to come */
    int64_t wait_ms;    /* for the server to be there at all */
};

struct gwc_check {
    struct gwc_check_options options;
    struct gw_rpc_client *rpc;
    struct gw_rpc_channel *channel;
    struct gw_arena arena;
    enum gwc_contract contract;   /* found out */
    bool reachable, speaks;       /* somebody is there; and speaks a contract */
    const char *type, *version;   /* of Describe; "" */
    const struct gw_node *schema; /* NULL: none that can be read */
    struct gw_view config;        /* options.config with N = 0 */
    bool refused;                 /* the given configuration */
    bool gone;                    /* the server, in mid-check */
    struct gw_reason words; /* why there is nothing more to try: nobody there, no stream; "" while there is */

    /* what streams have shown, all of them together */
    bool events_come, positions_come;
    uint64_t events, messages, streams;
    size_t message_max;   /* bytes */
    int64_t gap_ms;       /* the longest wait between two messages with events while they came */
    int64_t answer_ms;    /* the longest wait for an answer, or for a stream to run */
    uint64_t events_most; /* of one stream that was acknowledged at once */
    struct gwc_finding findings[GWC_RULES];
};

void gwc_check_ok(struct gwc_check *check, enum gwc_rule rule, const char *format, ...) GW_PRINTF(3, 4);
void gwc_check_warn(struct gwc_check *check, enum gwc_rule rule, const char *format, ...) GW_PRINTF(3, 4);
void gwc_check_failed(struct gwc_check *check, enum gwc_rule rule, const char *format, ...) GW_PRINTF(3, 4);
/* Why it could not be tried; counts only while nothing else is known. */
void gwc_check_skip(struct gwc_check *check, enum gwc_rule rule, const char *format, ...) GW_PRINTF(3, 4);
bool gwc_check_has_failed(const struct gwc_check *check, enum gwc_rule rule);
/* It holds in the contract that the server speaks. */
bool gwc_check_applies(const struct gwc_check *check, enum gwc_rule rule);

/* Tries everything; findings say what came of it. < 0: no memory. */
int gwc_check_run(struct gwc_check *check) GW_MUST_CHECK;
void gwc_check_print(const struct gwc_check *check, FILE *out);
void gwc_check_json(const struct gwc_check *check, struct gw_bytes *out);
size_t gwc_check_count(const struct gwc_check *check, enum gwc_verdict verdict);

/* ---- groups, in the order in which they are tried ---- */

int gwc_check_contract(struct gwc_check *check) GW_MUST_CHECK; /* which one; Describe */
int gwc_check_methods(struct gwc_check *check) GW_MUST_CHECK;
int gwc_check_health(struct gwc_check *check) GW_MUST_CHECK;
int gwc_check_validate(struct gwc_check *check) GW_MUST_CHECK;
int gwc_check_validate_argo(struct gwc_check *check) GW_MUST_CHECK;
int gwc_check_stream(struct gwc_check *check) GW_MUST_CHECK;
int gwc_check_stream_argo(struct gwc_check *check) GW_MUST_CHECK;
int gwc_check_refusals(struct gwc_check *check) GW_MUST_CHECK;
int gwc_check_flow(struct gwc_check *check) GW_MUST_CHECK;
int gwc_check_position(struct gwc_check *check) GW_MUST_CHECK;
int gwc_check_end(struct gwc_check *check) GW_MUST_CHECK;
int gwc_check_garbage(struct gwc_check *check) GW_MUST_CHECK;
int gwc_check_crowd(struct gwc_check *check) GW_MUST_CHECK;
int gwc_check_cancel(struct gwc_check *check) GW_MUST_CHECK;

/* ---- asking ---- */

/* A unary call whose lateness is a finding of GWC_RULE_ANSWERS. */
int gwc_check_ask(struct gwc_check *check, const char *path, const ProtobufCMessage *request,
                  struct gwc_answer *ret_answer) GW_MUST_CHECK;

/* A call that any server of the contract answers somehow: is it still there? */
int gwc_check_ping(struct gwc_check *check, int64_t timeout_ms, struct gwc_answer *ret_answer) GW_MUST_CHECK;

/* What Validate says, in whichever contract. */
struct gwc_verdict_of_server {
    bool answered; /* with OK, in the contract's form */
    int status;
    char message[GW_REASON_MAX]; /* of the status, or the first problem */
    char path[GW_REASON_MAX];    /* of the first problem */
    size_t problems;
    bool wordless; /* a problem without a message */
    bool named;    /* `field` occurs in a path or a message */
};
int gwc_check_ask_validate(struct gwc_check *check, struct gw_view config, const char *field,
                           struct gwc_verdict_of_server *ret_verdict) GW_MUST_CHECK;

/* The configuration with this number for "${N}"; lives in the arena. */
int gwc_check_config(struct gwc_check *check, int number, struct gw_view *ret_config) GW_MUST_CHECK;

/* ---- feeds (check_feed.c): a stream as the checker sees it; every message is looked at by check_event.c ---- */

struct gwc_mark {                /* what tells one event from another */
    uint64_t sequence, id, data; /* hashes of the latter two; 0: no id */
    struct gw_view position;     /* in the feed's arena */
    const char *id_text;         /* in the feed's arena, the beginning of it */
};
enum { GWC_MARKS_MAX = 4096 };

struct gwc_feed {
    struct gwc_check *check;
    struct gwc_talk *talk;
    struct gw_arena arena;
    const char *name;  /* of the event source */
    unsigned starts;   /* how often it said `started` */
    uint64_t events;   /* that came */
    uint64_t sequence; /* of the last one, as the server numbers it */
    struct gwc_mark *marks;
    size_t marks_count;          /* of the first events */
    bool noticed, noticed_first; /* any notice; one before the first event */
    char notice[GW_REASON_MAX];  /* the last one */
    bool acknowledging;          /* each event, as it comes */
    bool ended;
    int status;
    const char *message;
    int64_t last_event_ms; /* monotonic; 0: none came */
};

struct gwc_feed_options {
    const char *gateway; /* NULL: "check-server" */
    const char *name;    /* NULL: that of the options */
    int number;          /* for "${N}" */
    struct gw_view position;
    const struct gw_view *config; /* NULL: that of the options */
    unsigned credit;              /* messages that may wait unread; 0: the usual */
};
int gwc_feed_open(struct gwc_feed **ret_feed, struct gwc_check *check,
                  const struct gwc_feed_options *options) GW_MUST_CHECK;
/* A stream that begins with this request instead. */
int gwc_feed_open_with(struct gwc_feed **ret_feed, struct gwc_check *check,
                       const ProtobufCMessage *first) GW_MUST_CHECK;
/* Half-closes it (cancels it, where the contract knows no half-close), waits a moment for its end, and frees it. */
struct gwc_feed *gwc_feed_close(struct gwc_feed *feed);
GW_DEFINE_CLEANUP(struct gwc_feed *, gwc_feed_close)
/* Without any wait: it is cancelled if it goes on. */
struct gwc_feed *gwc_feed_free(struct gwc_feed *feed);

/* What came next; waits until `until_ms` (monotonic) for it. */
enum gwc_feed_kind {
    GWC_FEED_SILENCE, /* nothing came */
    GWC_FEED_STARTED,
    GWC_FEED_NOTICE,
    GWC_FEED_EVENTS,
    GWC_FEED_OTHER,
    GWC_FEED_ENDED,
};
int gwc_feed_next(struct gwc_feed *feed, int64_t until_ms, enum gwc_feed_kind *ret_kind) GW_MUST_CHECK;
/* Until it is started, or events come; *ret_runs false: it ended, or the timeout is over. */
int gwc_feed_await_running(struct gwc_feed *feed, bool *ret_runs) GW_MUST_CHECK;
/* Until that many events have come in all; false: it ended, or the time is over. */
int gwc_feed_await_events(struct gwc_feed *feed, uint64_t count, int64_t until_ms,
                          bool *ret_came) GW_MUST_CHECK;
/* Until its end; false: the time is over. What comes meanwhile is dropped. */
int gwc_feed_await_end(struct gwc_feed *feed, int64_t until_ms, bool *ret_ended) GW_MUST_CHECK;
void gwc_feed_acknowledge(struct gwc_feed *feed, uint64_t sequence);
/* "UNAVAILABLE: the broker is down", or what else can be said of its state; borrowed from the feed. */
const char *gwc_feed_words(struct gwc_feed *feed);
/* Its error has words, or else that is a finding. */
void gwc_feed_judge_error(struct gwc_feed *feed);

/* Looks at the events of one message; the feed takes note of them. */
struct Gateway__V1__Events;
void gwc_check_events(struct gwc_feed *feed, const struct Gateway__V1__Events *events);

int64_t gwc_check_until(const struct gwc_check *check); /* the timeout from now */
/* From now, in which the server has taken what was sent, and would have done what it must not: longer for one that answers slowly,
 * whose machine may be busy. */
int64_t gwc_check_settled(const struct gwc_check *check);

#endif
