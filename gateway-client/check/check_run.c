/* check-server: all groups, in order. */
#include "gateway-client/check/check_server.h"

#include "common/clock.h"

#include <time.h>

enum { SURVIVAL_MS = 2000, LOOK_MS = 200 };
static const char number_mark[] = "${N}";

int gwc_check_config(struct gwc_check *check, int number, struct gw_view *ret_config)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};
    struct gw_view rest = check->options.config;
    const size_t mark = sizeof(number_mark) - 1;

    while (rest.size > 0) {
        const char *found = memmem(rest.data, rest.size, number_mark, mark);
        size_t before = found == NULL ? rest.size : (size_t)(found - rest.data);
        gw_bytes_append(&out, rest.data, before);
        if (found != NULL)
            gw_bytes_printf(&out, "%d", number);
        before += found == NULL ? 0 : mark;
        rest = gw_view(rest.data + before, rest.size - before);
    }
    const char *copy = gw_arena_copy(&check->arena, gw_bytes_view(&out));
    if (out.failed || copy == NULL)
        return GW_RAISE(-ENOMEM);
    *ret_config = gw_view(copy, out.size);
    return 0;
}

static bool has_stream(const struct gwc_check *check)
{
    return check->words.text[0] == '\0';
}

struct step {
    int (*run)(struct gwc_check *check);
    enum gwc_rule blamed; /* when the server is gone afterwards */
    bool needs_stream;
};

/* The cancel comes last: a server that does not get over it would spoil what follows. */
static const struct step newest_steps[] = {
    {gwc_check_methods, GWC_RULE_UNIMPLEMENTED, false},
    {gwc_check_health, GWC_RULE_HEALTH, false},
    {gwc_check_validate, GWC_RULE_BAD_CONFIG, false},
    {gwc_check_stream, GWC_RULE_ODD_ACKNOWLEDGEMENT, true},
    {gwc_check_refusals, GWC_RULE_FIRST_REQUEST, false},
    {gwc_check_end, GWC_RULE_REPLACED, true},
    {gwc_check_flow, GWC_RULE_WINDOW, true},
    {gwc_check_position, GWC_RULE_FOREIGN_POSITION, true},
    {gwc_check_garbage, GWC_RULE_GARBAGE, false},
    {gwc_check_crowd, GWC_RULE_CROWD, true},
    {gwc_check_cancel, GWC_RULE_CANCEL, true},
    {0},
};
static const struct step argo_steps[] = {
    {gwc_check_methods, GWC_RULE_UNIMPLEMENTED, false},
    {gwc_check_health, GWC_RULE_HEALTH, false},
    {gwc_check_validate_argo, GWC_RULE_ARGO_VALIDATION, false},
    {gwc_check_stream_argo, GWC_RULE_ARGO_STAYS_OPEN, true},
    {gwc_check_garbage, GWC_RULE_GARBAGE, false},
    {gwc_check_crowd, GWC_RULE_CROWD, true},
    {gwc_check_cancel, GWC_RULE_CANCEL, true},
    {0},
};

/* Whatever it answers, it is there. */
static int judge_survival(struct gwc_check *check, enum gwc_rule blamed)
{
    GW_AUTO(gwc_answer_done) struct gwc_answer answer = {0};
    const int64_t timeout_ms = GW_MIN(check->options.timeout_ms, (int64_t)SURVIVAL_MS);

    GW_TRY(gwc_check_ping(check, timeout_ms, &answer));
    if (answer.status != GW_RPC_UNAVAILABLE || gw_rpc_channel_connected(check->channel))
        return 0;
    gwc_check_failed(check, blamed, "then the server was gone: %s", answer.message);
    gw_reason_set(&check->words, "the server was gone after rule %s was tried", gwc_rule_rows[blamed].number);
    check->gone = true;
    return 0;
}

static int run_steps(struct gwc_check *check, const struct step *steps)
{
    for (const struct step *step = steps; step->run != NULL && !check->gone; step++) {
        if (step->needs_stream && !has_stream(check))
            continue;
        GW_TRY(step->run(check));
        GW_TRY(judge_survival(check, step->blamed));
    }
    return 0;
}

/* What is still without a word. */
static void skip_rest(struct gwc_check *check)
{
    gwc_check_skip(check, GWC_RULE_ERROR_WORDS, "no stream ended with an error");
    gwc_check_skip(check, GWC_RULE_NOTICE_WORDS, "no notice came");
    for (size_t i = 0; i < GWC_RULES; i++)
        gwc_check_skip(check, i, "%s", has_stream(check) ? "it could not be tried" : check->words.text);
}

/* A server that has just been started may need a moment. */
static int await_server(struct gwc_check *check)
{
    int64_t until_ms = gw_clock_monotonic_ms() + check->options.wait_ms;

    while (gw_clock_monotonic_ms() < until_ms) {
        GW_AUTO(gwc_answer_done) struct gwc_answer answer = {0};
        GW_TRY(gwc_check_ping(check, LOOK_MS, &answer));
        if (gw_rpc_channel_connected(check->channel))
            return 0;
        nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * GW_NS_PER_MS}, NULL);
    }
    return 0;
}

int gwc_check_run(struct gwc_check *check)
{
    check->type = check->options.type != NULL ? check->options.type : "";
    check->version = "";
    GW_TRY(gwc_check_config(check, 0, &check->config));
    GW_TRY(await_server(check));
    GW_TRY(gwc_check_contract(check));
    if (!check->speaks)
        return 0;
    GW_TRY(run_steps(check, check->contract == GWC_CONTRACT_V1 ? newest_steps : argo_steps));
    skip_rest(check);
    return 0;
}
