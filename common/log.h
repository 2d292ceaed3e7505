/* The log: one line an occurrence, logfmt or JSON, on standard error. Programs log; floors 0 and 1 do not.
 * Any thread; a line is written with one write(). */
#ifndef GW_LOG_H
#define GW_LOG_H

#include "common/base.h"

enum gw_log_level { GW_LOG_DEBUG, GW_LOG_INFO, GW_LOG_WARN, GW_LOG_ERROR };
enum gw_log_format { GW_LOG_LOGFMT, GW_LOG_JSON };

/* Both are process-wide; call before threads start. Names: debug info warn error; logfmt json. False: no such name. */
bool gw_log_set_level(const char *name);
bool gw_log_set_format(const char *name);
bool gw_log_enabled(enum gw_log_level level);

/* Pairs of name and value (NULL value: the pair is left out), ended by NULL:
 *     gw_log(GW_LOG_INFO, "event source running", "source", name, "attempt", GW_NUMBER(3), NULL);
 * gives  time=2026-03-01T08:30:00.123Z level=info message="event source running" source=orders attempt=3 */
void gw_log(enum gw_log_level level, const char *message, ...) GW_SENTINEL;

/* An integer as text, alive until the end of the enclosing block. */
#define GW_NUMBER(number) gw_number_text((char[24]){0}, (int64_t)(number))
const char *gw_number_text(char buffer[static 24], int64_t number);

#endif
