/* check-server: what was found, for people and for programs. */
#include "gateway-client/check/check_server.h"

#include "common/json.h"

#include <inttypes.h>
#include <string.h>

static const char *const verdict_words[] = {"not tried", "ok", "warning", "FAILED"};

/* Words of a foreign server, on somebody's terminal: no control characters. */
static void print_text(FILE *out, const char *text)
{
    for (const unsigned char *byte = (const unsigned char *)text; *byte != '\0'; byte++) {
        if (byte[0] == 0xc2 && byte[1] >= 0x80 && byte[1] < 0xa0)
            byte++; /* a control character of two bytes */
        else if (*byte >= 0x20 && *byte != 0x7f)
            fputc(*byte, out);
        else
            fputc(' ', out);
    }
}

static void print_detail(FILE *out, const char *label, const char *text)
{
    fprintf(out, "                  %s: ", label);
    print_text(out, text);
    fputc('\n', out);
}

/* What is said of all that could not be tried is said once, at the end. */
static void print_rule(FILE *out, const struct gwc_rule_row *row, const struct gwc_finding *finding,
                       const char *said_of_all)
{
    bool bad = finding->verdict == GWC_VERDICT_FAILED || finding->verdict == GWC_VERDICT_WARNING;

    fprintf(out, "  %-9s  %-3s  %s", verdict_words[finding->verdict], row->number, row->title);
    if (bad) {
        fputc('\n', out);
        print_detail(out, "seen", finding->seen);
        print_detail(out, "why", row->why);
        print_detail(out, "see", row->where);
        return;
    }
    if (strcmp(finding->seen, said_of_all) != 0) {
        fputs(": ", out);
        print_text(out, finding->seen);
    }
    fputc('\n', out);
}

void gwc_check_print(const struct gwc_check *check, FILE *out)
{
    fprintf(out, "gateway-server %s", check->options.address);
    if (check->type[0] != '\0') {
        fputs(": ", out);
        print_text(out, check->type);
        fputs(check->version[0] != '\0' ? " " : "", out);
        print_text(out, check->version);
    }
    if (!check->speaks) {
        fputs(": ", out);
        print_text(out, check->words.text);
        fputc('\n', out);
        return;
    }
    fprintf(out, ", by the contract %s\n\n", gwc_contract_names[check->contract]);
    for (size_t i = 0; i < GWC_RULES; i++)
        if (gwc_check_applies(check, i))
            print_rule(out, &gwc_rule_rows[i], &check->findings[i], check->words.text);
    if (check->words.text[0] != '\0') {
        fputs("\nNot tried where nothing else is said: ", out);
        print_text(out, check->words.text);
        fputc('\n', out);
    }
    fprintf(out,
            "\n%zu ok, %zu failed, %zu warnings, %zu not tried; %" PRIu64 " streams, %" PRIu64 " events\n",
            gwc_check_count(check, GWC_VERDICT_OK), gwc_check_count(check, GWC_VERDICT_FAILED),
            gwc_check_count(check, GWC_VERDICT_WARNING), gwc_check_count(check, GWC_VERDICT_NOT_TRIED),
            check->streams, check->events);
}

/* ---- JSON ---- */

static void json_text(struct gw_bytes *out, const char *before, const char *text)
{
    gw_bytes_append_text(out, before);
    gw_json_quote(out, gw_view_text(text));
}

static void json_rule(struct gw_bytes *out, const struct gwc_rule_row *row, const struct gwc_finding *finding)
{
    json_text(out, "{\"rule\":", row->number);
    json_text(out, ",\"verdict\":", gwc_verdict_names[finding->verdict]);
    json_text(out, ",\"title\":", row->title);
    json_text(out, ",\"seen\":", finding->seen);
    json_text(out, ",\"why\":", row->why);
    json_text(out, ",\"where\":", row->where);
    gw_bytes_append_char(out, '}');
}

void gwc_check_json(const struct gwc_check *check, struct gw_bytes *out)
{
    const char *comma = "";

    json_text(out, "{\"address\":", check->options.address);
    gw_bytes_printf(out, ",\"reachable\":%s", check->reachable ? "true" : "false");
    json_text(out, ",\"contract\":", check->speaks ? gwc_contract_names[check->contract] : "");
    json_text(out, ",\"type\":", check->type);
    json_text(out, ",\"version\":", check->version);
    json_text(out, ",\"reason\":", check->words.text);
    gw_bytes_printf(out, ",\"streams\":%" PRIu64 ",\"events\":%" PRIu64, check->streams, check->events);
    gw_bytes_printf(out,
                    ",\"summary\":{\"ok\":%zu,\"failed\":%zu,\"warnings\":%zu,\"notTried\":%zu},\"rules\":[",
                    gwc_check_count(check, GWC_VERDICT_OK), gwc_check_count(check, GWC_VERDICT_FAILED),
                    gwc_check_count(check, GWC_VERDICT_WARNING),
                    gwc_check_count(check, GWC_VERDICT_NOT_TRIED));
    for (size_t i = 0; check->speaks && i < GWC_RULES; i++)
        if (gwc_check_applies(check, i)) {
            gw_bytes_append_text(out, comma);
            json_rule(out, &gwc_rule_rows[i], &check->findings[i]);
            comma = ",";
        }
    gw_bytes_append_text(out, "]}\n");
}
