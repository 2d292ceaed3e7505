/* check-server: does the server stop when nothing is acknowledged, and go on when it is? */
#include "gateway-client/check/check_server.h"

enum {
    WINDOW_MAX = 16384, /* what the contract allows */
    QUIET_MS = 1000,    /* nothing for so long, or for five of the longest waits so far: it has stopped */
    QUIET_GAPS = 5,
};

/* Takes what comes until nothing comes any more. *ret_quiet false: it went on until the time was over, or ended. */
static int drain(struct gwc_feed *feed, bool *ret_quiet)
{
    const struct gwc_check *check = feed->check;
    int64_t quiet_ms = GW_MAX(check->gap_ms * QUIET_GAPS, (int64_t)QUIET_MS);
    int64_t until_ms = gw_clock_monotonic_ms() + 2 * check->options.timeout_ms;
    enum gwc_feed_kind kind = GWC_FEED_OTHER;

    while (feed->events <= WINDOW_MAX && gw_clock_monotonic_ms() < until_ms && kind != GWC_FEED_SILENCE &&
           kind != GWC_FEED_ENDED)
        GW_TRY(gwc_feed_next(feed, gw_clock_monotonic_ms() + quiet_ms, &kind));
    *ret_quiet = kind == GWC_FEED_SILENCE;
    return 0;
}

/* It has gone quiet, and stays so although all is acknowledged. Is there more, for one who acknowledges each event? */
static int judge_stuck(struct gwc_feed *feed)
{
    GW_AUTO(gwc_feed_closep) struct gwc_feed *prompt = NULL;
    struct gwc_check *check = feed->check;
    unsigned long long events = feed->events;
    bool came;

    GW_TRY(gwc_feed_open(&prompt, check, &(struct gwc_feed_options){0}));
    prompt->acknowledging = true;
    GW_TRY(gwc_feed_await_events(prompt, feed->events + 1, gwc_check_until(check), &came));
    if (came) {
        gwc_check_ok(check, GWC_RULE_WINDOW, "it stopped at %llu", events);
        gwc_check_failed(
            check, GWC_RULE_GOES_ON,
            "it stopped at %llu, and %.1f s after all were acknowledged it still stands; it went on "
            "where each was acknowledged as it came",
            events, (double)check->options.timeout_ms / 1000);
        return 0;
    }
    gwc_check_skip(check, GWC_RULE_WINDOW, "it sent %llu events in all, which fill no window", events);
    gwc_check_skip(check, GWC_RULE_GOES_ON, "it sent %llu events in all, which fill no window", events);
    return 0;
}

static int judge_quiet(struct gwc_feed *feed)
{
    struct gwc_check *check = feed->check;
    uint64_t window = feed->events;
    bool came;

    gwc_feed_acknowledge(feed, feed->sequence);
    GW_TRY(gwc_feed_await_events(feed, window + 1, gwc_check_until(check), &came));
    if (!came && !feed->ended)
        return judge_stuck(feed);
    if (!came) {
        gwc_check_failed(check, GWC_RULE_GOES_ON, "it stopped at %llu, and when they were acknowledged %s",
                         (unsigned long long)window, gwc_feed_words(feed));
        return 0;
    }
    gwc_check_ok(check, GWC_RULE_WINDOW, "it stopped at %llu", (unsigned long long)window);
    gwc_check_ok(check, GWC_RULE_GOES_ON, "from %llu on", (unsigned long long)window + 1);
    return 0;
}

int gwc_check_flow(struct gwc_check *check)
{
    GW_AUTO(gwc_feed_closep) struct gwc_feed *feed = NULL;
    bool quiet = false;

    if (!check->events_come) {
        gwc_check_skip(check, GWC_RULE_WINDOW, "no event came");
        gwc_check_skip(check, GWC_RULE_GOES_ON, "no event came");
        return 0;
    }
    GW_TRY(gwc_feed_open(&feed, check, &(struct gwc_feed_options){0}));
    GW_TRY(drain(feed, &quiet));
    unsigned long long events = feed->events;
    if (events > WINDOW_MAX) {
        gwc_check_failed(check, GWC_RULE_WINDOW, "%llu events, and none acknowledged", events);
        gwc_check_skip(check, GWC_RULE_GOES_ON, "it did not stop");
    } else if (feed->ended) {
        gwc_check_failed(check, GWC_RULE_WINDOW, "after %llu events, and none acknowledged, %s", events,
                         gwc_feed_words(feed));
        gwc_check_skip(check, GWC_RULE_GOES_ON, "the stream ended");
    } else if (!quiet) {
        gwc_check_skip(check, GWC_RULE_WINDOW,
                       "%llu events in %.1f s, and more come: too slow to fill a window", events,
                       2 * (double)check->options.timeout_ms / 1000);
        gwc_check_skip(check, GWC_RULE_GOES_ON, "events come too slowly to fill a window");
    } else {
        return judge_quiet(feed);
    }
    return 0;
}
