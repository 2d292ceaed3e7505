/* The subcommands of gateway-client: one file each. argv[0] is the word ("run"); each returns the exit code. */
#ifndef GWC_COMMANDS_H
#define GWC_COMMANDS_H

int gwc_cmd_run(int argc, char **argv);
int gwc_cmd_check(int argc, char **argv);
int gwc_cmd_check_server(int argc, char **argv);
int gwc_cmd_status(int argc, char **argv);
int gwc_cmd_listen(int argc, char **argv);
int gwc_cmd_positions(int argc, char **argv);
int gwc_cmd_dead_letters(int argc, char **argv);
int gwc_cmd_crd(int argc, char **argv);

#endif
