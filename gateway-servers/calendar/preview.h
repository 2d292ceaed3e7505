/* Preview: `gateway-server-calendar preview`, the next ticks of a configuration on standard output. */
#ifndef CALENDAR_PREVIEW_H
#define CALENDAR_PREVIEW_H

/* The rest of the command line, argv[0] is "preview". The exit code. */
int preview_command(int argc, char **argv);

#define PREVIEW_HELP                                                                                         \
    "preview [--schedule CRON | --interval DURATION | --config FILE] [--timezone ZONE] [--from TIME] "       \
    "[--count N]   print the next ticks"

#endif
