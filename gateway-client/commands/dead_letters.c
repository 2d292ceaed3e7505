/* gateway-client dead-letters: list, show, replay, drop. Works beside a running gateway-client. */
#include "gateway-client/commands/command_line.h"
#include "gateway-client/commands/commands.h"
#include "gateway-client/outbox/outbox.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/text.h"

#include <stdio.h>
#include <string.h>

struct letters {
    const char *state, *watcher;
    bool all, json;
    struct gwc_dead_letters *open;
    size_t count;
};

static int list_row(void *user, const struct gwc_dead_letter *letter)
{
    struct letters *letters = user;
    char died[GW_TIME_MAX];

    if (letters->count++ == 0)
        printf("%-8s %-20s %-20s %-8s %-6s %-28s %s\n", "NUMBER", "DIED", "WATCHER", "ATTEMPTS", "STATUS",
               "EVENT", "REASON");
    printf("%-8lld %-20s %-20s %-8u %-6d %-28.*s %s\n", (long long)letter->number,
           gw_time_format(died, letter->died_ms * GW_NS_PER_MS, 0), letter->watcher, letter->attempts,
           letter->status, (int)letter->event->id.size, letter->event->id.data, letter->reason);
    return 0;
}

/* The event as a CloudEvent, with what became of it around it: one JSON object a letter. */
static int show_letter(void *user, const struct gwc_dead_letter *letter)
{
    struct letters *letters = user;
    GW_AUTO(gw_bytes_done) struct gw_bytes headers = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes body = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes pretty = {0};
    GW_AUTO(gw_event_unrefp) struct gw_event *event = gw_event_new(letter->event);
    const struct gw_event *events[] = {event};
    struct gw_view view;
    size_t headers_count = 0;
    char died[GW_TIME_MAX];

    if (event == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(gw_event_encode(events, 1, GW_EVENT_STRUCTURED, &headers, &headers_count, &body, &view));
    gw_bytes_printf(&text, "{\"number\":%lld,\"watcher\":", (long long)letter->number);
    gw_json_quote(&text, gw_view_text(letter->watcher));
    gw_bytes_printf(&text, ",\"diedAt\":\"%s\",\"attempts\":%u,\"status\":%d,\"reason\":",
                    gw_time_format(died, letter->died_ms * GW_NS_PER_MS, 3), letter->attempts,
                    letter->status);
    gw_json_quote(&text, gw_view_text(letter->reason));
    gw_bytes_append_text(&text, ",\"event\":");
    gw_bytes_append_view(&text, view);
    gw_bytes_append_text(&text, "}");
    if (!letters->json && gw_json_pretty(&pretty, gw_bytes_view(&text)) && gw_bytes_text(&pretty) != NULL)
        puts(gw_bytes_text(&pretty));
    else if (gw_bytes_text(&text) != NULL)
        puts(gw_bytes_text(&text));
    letters->count++;
    return 0;
}

static int put_back(struct letters *letters, int64_t number)
{
    GW_TRY(gwc_dead_letters_replay(letters->open, letters->watcher, number, &letters->count));
    printf("%zu dead letter%s put back to be delivered\n", letters->count, letters->count == 1 ? "" : "s");
    return 0;
}

static int drop(struct letters *letters, int64_t number)
{
    GW_TRY(gwc_dead_letters_drop(letters->open, letters->watcher, number, &letters->count));
    printf("%zu dead letter%s dropped\n", letters->count, letters->count == 1 ? "" : "s");
    return 0;
}

static int letters_do(struct letters *letters, const char *verb, int64_t number)
{
    if (strcmp(verb, "list") == 0)
        GW_TRY(gwc_dead_letters_each(letters->open, letters->watcher, number,
                                     letters->json ? show_letter : list_row, letters));
    else if (strcmp(verb, "show") == 0)
        GW_TRY(gwc_dead_letters_each(letters->open, letters->watcher, number, show_letter, letters));
    else if (strcmp(verb, "replay") == 0)
        GW_TRY(put_back(letters, number));
    else
        GW_TRY(drop(letters, number));
    return 0;
}

static int usage(const char *words)
{
    fprintf(stderr, "gateway-client dead-letters: %s (see --help)\n", words);
    return GW_EXIT_USAGE;
}

/* "list" needs nothing more; the others a number, or --all, so that nobody replays or drops everything by a slip. */
static int letters_run(struct letters *letters, const char *verb, int64_t number)
{
    struct gw_reason reason = {""};
    int fault = gwc_dead_letters_open(&letters->open, letters->state, &reason);

    if (fault == 0)
        fault = letters_do(letters, verb, number);
    gwc_dead_letters_close(letters->open);
    if (fault < 0) {
        fprintf(stderr, "gateway-client dead-letters: %s\n",
                reason.text[0] != '\0' ? reason.text : gw_fault_trace());
        return GW_EXIT_FAULT;
    }
    if (letters->count == 0 && number > 0) {
        fprintf(stderr, "gateway-client dead-letters: there is no dead letter %lld\n", (long long)number);
        return GW_EXIT_FAULT;
    }
    if (letters->count == 0 && strcmp(verb, "list") == 0 && !letters->json)
        puts("no dead letters");
    return GW_EXIT_OK;
}

int gwc_cmd_dead_letters(int argc, char **argv)
{
    struct letters letters = {0};
    int words = 0;
    int64_t number = 0;
    const struct gw_flag flags[] = {
        {"state", GW_FLAG_TEXT, &letters.state, "DIRECTORY", "where the outbox lives", "GATEWAY_STATE"},
        {"watcher", GW_FLAG_TEXT, &letters.watcher, "NAME", "only those of this watcher", NULL},
        {"all", GW_FLAG_BOOL, &letters.all, NULL, "all of them (show, replay, drop)", NULL},
        {"json", GW_FLAG_BOOL, &letters.json, NULL, "one JSON object a line", NULL},
        {0},
    };

    int ended = gwc_command_line(
        flags, argc, argv,
        "Usage: gateway-client dead-letters list|show|replay|drop [NUMBER | --all] --state DIRECTORY",
        &words);
    if (ended > 0)
        return ended - 1;
    static const char *const verbs[] = {"list", "show", "replay", "drop"};
    const char *verb = NULL;
    for (size_t i = 0; i < GW_COUNT_OF(verbs) && words > 0; i++)
        if (strcmp(argv[1], verbs[i]) == 0)
            verb = verbs[i];
    if (verb == NULL)
        return usage("say list, show, replay or drop");
    if (letters.state == NULL)
        return usage("--state is needed");
    if (words > 2 || (words == 2 && !gw_text_i64(gw_view_text(argv[2]), 1, INT64_MAX, &number)))
        return usage("one NUMBER, as list shows it");
    if (number == 0 && !letters.all && letters.watcher == NULL && strcmp(verb, "list") != 0)
        return usage("say a NUMBER, --watcher NAME or --all");
    return letters_run(&letters, verb, number);
}
