/* SPDX-License-Identifier: MIT */
/* The `choir` command: finds the subcommand. */
#include "tool.h"

#include "choir/version.h"

#include <string.h>

static const tool_command *const commands[] = {&tool_serve, &tool_call, &tool_ping, &tool_schema};
#define COMMANDS (sizeof commands / sizeof *commands)

static const char exit_help[] =
    "Exit status\n"
    "  0  success\n"
    "  1  the method answered with its own error, which is on standard error as JSON;\n"
    "     schema diff: something that is required breaks\n"
    "  2  wrong usage; nothing was done\n"
    "  3  could not connect or listen, the session failed, or an interface file cannot be read or has an error\n"
    "  4  the call ended without an answer of the method: unknown method, invalid payload,\n"
    "     cancelled, timed out, ...\n";

static void print_help(FILE *out) {
    fputs(
        "usage: choir COMMAND [ARGUMENT]...\n\nServes, calls and looks at programs that speak vox 0.4.0.\n\n",
        out);
    for (size_t i = 0; i < COMMANDS; i++) fprintf(out, "  %-8s%s\n", commands[i]->name, commands[i]->summary);
    fprintf(out, "\n`choir COMMAND --help` tells more; `choir --version` prints the version.\n\n%s",
            exit_help);
}

/* --help counts wherever an option may be. */
static bool wants_help(int argc, char **argv) {
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    return false;
}

static int run(int argc, char **argv) {
    if (argc < 2) {
        print_help(stderr);
        return TOOL_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0) {
        printf("choir %s\n", choir_version());
        return TOOL_OK;
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(name, commands[i]->name) != 0) continue;
        if (!wants_help(argc - 2, argv + 2)) return commands[i]->run(argc - 2, argv + 2);
        fputs(commands[i]->help, stdout);
        return TOOL_OK;
    }
    if (wants_help(argc - 1, argv + 1) || strcmp(name, "help") == 0) {
        print_help(stdout);
        return TOOL_OK;
    }
    return tool_usage(NULL, "there is no command \"%s\"", name);
}

int main(int argc, char **argv) {
    int status = run(argc, argv);
    /* A result that did not arrive must not look like one. */
    if (fflush(stdout) != 0 || ferror(stdout)) {
        tool_say("cannot write to standard output");
        return TOOL_FAILED;
    }
    return status;
}
