/* The rules that a gateway-server is checked by, and what was found about each. The contract says them in full. */
#include "gateway-client/check/check_server.h"

#include <stdarg.h>

#define BIT(contract) (1u << (contract))
enum {
    NEWEST = BIT(GWC_CONTRACT_V1),
    ARGO = BIT(GWC_CONTRACT_ARGO_011) | BIT(GWC_CONTRACT_ARGO_016),
    OLD = ARGO | BIT(GWC_CONTRACT_GENERIC),
    ALL = NEWEST | OLD,
};
#define V1     "proto/gateway/v1/eventing.proto, "
#define OF_OLD "proto/argo/gateways/eventing.proto"

const struct gwc_rule_row gwc_rule_rows[GWC_RULES] = {
    [GWC_RULE_UNIMPLEMENTED] = {"R1", ALL, "answers UNIMPLEMENTED to methods that it does not have",
                                "the client finds out by this answer which contract a server speaks",
                                V1 "Serving"},
    [GWC_RULE_ANSWERS] = {"R2", NEWEST | ARGO, "answers Describe and Validate within 10 seconds",
                          "the client gives up then, and shows the server as failing", V1 "Serving"},
    [GWC_RULE_HEALTH] = {"R3", ALL, "serves grpc.health.v1.Health",
                         "Kubernetes probes it; without it a pod that hangs is never restarted",
                         V1 "Serving"},
    [GWC_RULE_TYPE] = {"R4", NEWEST, "says its type and its version",
                       "users write the type in the keys of their ConfigMap", V1 "Describe"},
    [GWC_RULE_SCHEMA] = {"R5", NEWEST, "has a JSON Schema of its configuration",
                         "editors complete and check configurations by it before anything runs",
                         V1 "Describe"},
    [GWC_RULE_GOOD_CONFIG] = {"R6", NEWEST,
                              "finds no problem in a good configuration, also while it runs with it",
                              "it is asked before each start and each edit, also about what runs",
                              V1 "Validate"},
    [GWC_RULE_BAD_CONFIG] =
        {"R7", NEWEST, "tells everything that is wrong with a configuration as problems, with status OK",
         "any other status means that the server could not be asked; nobody is told what to change",
         V1 "Validate"},
    [GWC_RULE_UNKNOWN_FIELD] = {"R8", NEWEST, "takes a field that it does not know for a problem",
                                "a typo that is let pass is found at 3 a.m., by its consequences",
                                V1 "Validate"},
    [GWC_RULE_PROBLEM_WORDS] = {"R9", NEWEST, "says in words what is wrong, and names the field",
                                "it is shown to the person who wrote the configuration", V1 "Validate"},
    [GWC_RULE_STARTED] = {"R10", NEWEST, "says that it has started, once, before its first event",
                          "until then the source shows as \"starting\", and people rely on the difference",
                          V1 "The beginning of a stream"},
    [GWC_RULE_REFUSED] =
        {"R11", NEWEST, "ends a stream whose configuration cannot work with INVALID_ARGUMENT",
         "INVALID_ARGUMENT tells that a person has to act; anything else is tried again in seconds",
         V1 "The beginning of a stream"},
    [GWC_RULE_FIRST_REQUEST] = {"R12", NEWEST,
                                "ends a stream that does not begin with start, or is started twice",
                                "whatever it would send could be anybody's", V1 "The beginning of a stream"},
    [GWC_RULE_UNKNOWN_REQUEST] = {"R13", NEWEST, "ignores requests and fields that it does not know",
                                  "that is how a newer client may speak with it",
                                  V1 "The beginning of a stream"},
    [GWC_RULE_SEQUENCE] = {"R14", NEWEST, "numbers the events of a stream 1, 2, 3, … without gaps",
                           "an acknowledgement names a sequence; with a gap nobody knows what is durable",
                           V1 "Events"},
    [GWC_RULE_MESSAGE_SIZE] = {"R15", ALL, "sends messages of at most 4 MiB",
                               "gRPC ends the stream at a larger one, and at its repetition, for ever",
                               V1 "Events"},
    [GWC_RULE_ATTRIBUTES] = {"R16", NEWEST, "sends what is legal in a CloudEvent",
                             "watchers refuse what is not, so the client refuses it, and ends the stream",
                             V1 "Events"},
    [GWC_RULE_TIME] = {"R17", NEWEST, "gives times in nanoseconds since 1970, or none",
                       "seconds and milliseconds read as some minutes past midnight in 1970", V1 "Events"},
    [GWC_RULE_DATA] = {"R18", NEWEST, "sends JSON where it says so", "watchers parse it without asking",
                       V1 "Events"},
    [GWC_RULE_ID] = {"R19", NEWEST, "gives no id to two happenings",
                     "the second one would be dropped as a repetition", V1 "Events"},
    [GWC_RULE_ID_BY_POSITION] =
        {"R20", NEWEST, "gives an id to events that have a position",
         "after a crash they are read again, and only the id tells that they are the same", V1 "Events"},
    [GWC_RULE_WINDOW] = {"R21", NEWEST, "stops when too many events are not acknowledged",
                         "the outbox is full, or slow; memory must not grow with what waits", V1 "Flow"},
    [GWC_RULE_GOES_ON] = {"R22", NEWEST, "goes on when they are acknowledged",
                          "one acknowledgement covers all events up to it", V1 "Flow"},
    [GWC_RULE_ODD_ACKNOWLEDGEMENT] = {"R23", NEWEST,
                                      "ignores an acknowledgement that says nothing new, and refuses one "
                                      "beyond the last event",
                                      "events that are to come are not durable", V1 "Flow"},
    [GWC_RULE_POSITION] =
        {"R24", NEWEST, "goes on behind its position, and leaves nothing out",
         "the position is kept with the event that it stands in; this makes that worth something",
         V1 "Positions"},
    [GWC_RULE_FOREIGN_POSITION] =
        {"R25", NEWEST, "answers a position that it cannot read in words",
         "it may come from an older version of the server, or another configuration", V1 "Positions"},
    [GWC_RULE_HALF_CLOSE] = {"R26", NEWEST, "ends a stream that is half-closed with OK, within 2 seconds",
                             "the source is no longer wanted; its successor may wait for what it holds",
                             V1 "The end of a stream"},
    [GWC_RULE_CANCEL] = {"R27", ALL, "starts a source again at once after a cancel",
                         "the client is gone, and will be back", V1 "The end of a stream"},
    [GWC_RULE_REPLACED] = {"R28", NEWEST,
                           "replaces a stream by a newer one of the same gateway, namespace and name",
                           "the older one belongs to a client whose end has not been noticed yet",
                           V1 "The end of a stream"},
    [GWC_RULE_CROWD] = {"R29", ALL, "serves 100 streams at once",
                        "all sources of a type are on one server; threads run out first",
                        V1 "The end of a stream"},
    [GWC_RULE_GARBAGE] = {"R30", ALL, "ends a stream that brings garbage, and no other",
                          "one broken peer must not be everybody's outage", V1 "The end of a stream"},
    [GWC_RULE_ERROR_WORDS] = {"R31", NEWEST, "says why a stream ends with an error",
                              "it is all that people see", V1 "The end of a stream"},
    [GWC_RULE_NOTICE_WORDS] = {"R32", NEWEST, "sends no notice without words", "it is shown as it is",
                               V1 "The end of a stream"},
    [GWC_RULE_ARGO_VALIDATION] = {"A1", ARGO, "says whether a configuration is good, and why not",
                                  "it is all that the person who wrote the configuration sees", OF_OLD},
    [GWC_RULE_ARGO_NAME] = {"A2", OLD, "gives each event the name of its event source, or none",
                            "an event under another name could be anybody's; the client ends the stream",
                            OF_OLD},
    [GWC_RULE_ARGO_STAYS_OPEN] = {"A3", OLD, "keeps the stream open until the client ends it",
                                  "a stream that ends counts as broken, and is started again, for ever",
                                  OF_OLD},
};

const char *const gwc_verdict_names[] = {"not tried", "ok", "warning", "failed", NULL};

void gwc_rules_markdown(struct gw_bytes *out)
{
    static const struct {
        unsigned contracts;
        const char *name;
    } names[] = {{NEWEST, "gateway.v1"}, {ARGO, "gateways"}, {BIT(GWC_CONTRACT_GENERIC), "generic"}};

    gw_bytes_append_text(out,
                         "| rule | a gateway-server … | because | contracts |\n| --- | --- | --- | --- |\n");
    for (size_t i = 0; i < GWC_RULES; i++) {
        const struct gwc_rule_row *row = &gwc_rule_rows[i];
        const char *comma = "";
        gw_bytes_printf(out, "| %s | %s | %s |", row->number, row->title, row->why);
        for (size_t j = 0; j < GW_COUNT_OF(names); j++)
            if ((row->contracts & names[j].contracts) != 0) {
                gw_bytes_printf(out, "%s %s", comma, names[j].name);
                comma = ",";
            }
        gw_bytes_append_text(out, " |\n");
    }
}

/* ---- findings ---- */

bool gwc_check_has_failed(const struct gwc_check *check, enum gwc_rule rule)
{
    return check->findings[rule].verdict == GWC_VERDICT_FAILED;
}

bool gwc_check_applies(const struct gwc_check *check, enum gwc_rule rule)
{
    return (gwc_rule_rows[rule].contracts & BIT(check->contract)) != 0;
}

size_t gwc_check_count(const struct gwc_check *check, enum gwc_verdict verdict)
{
    size_t count = 0;

    for (size_t i = 0; i < GWC_RULES; i++)
        count += gwc_check_applies(check, i) && check->findings[i].verdict == verdict;
    return count;
}

static void GW_PRINTF(4, 0) check_find(struct gwc_check *check, enum gwc_rule rule, enum gwc_verdict verdict,
                                       const char *format, va_list arguments)
{
    struct gwc_finding *finding = &check->findings[rule];
    struct gw_reason reason;
    char text[4 * GW_REASON_MAX];

    if (finding->seen[0] != '\0' && verdict <= finding->verdict)
        return;
    vsnprintf(text, sizeof(text), format, arguments);
    gw_reason_set(&reason, "%s", text);
    finding->verdict = verdict;
    memcpy(finding->seen, reason.text, sizeof(finding->seen));
}

#define DEFINE_FINDING(name, verdict)                                                                        \
    void name(struct gwc_check *check, enum gwc_rule rule, const char *format, ...)                          \
    {                                                                                                        \
        va_list arguments;                                                                                   \
                                                                                                             \
        va_start(arguments, format);                                                                         \
        check_find(check, rule, verdict, format, arguments);                                                 \
        va_end(arguments);                                                                                   \
    }

DEFINE_FINDING(gwc_check_ok, GWC_VERDICT_OK)
DEFINE_FINDING(gwc_check_warn, GWC_VERDICT_WARNING)
DEFINE_FINDING(gwc_check_failed, GWC_VERDICT_FAILED)
DEFINE_FINDING(gwc_check_skip, GWC_VERDICT_NOT_TRIED)
