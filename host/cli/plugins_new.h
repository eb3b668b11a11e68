/* cli/plugins_new.h: `lathe plugins new`. */
#ifndef LATHE_CLI_PLUGINS_NEW_H
#define LATHE_CLI_PLUGINS_NEW_H

/* Writes NAME.c and a Makefile into a folder (NULL: one of the plugin's name). id NULL: org.example.KIND.NAME. Gives the exit
 * code. */
int cli_new_plugin(const char *kind, const char *name, const char *id, const char *folder);

#endif
