/*
 * device_rule.h - --device for formats that carry no serial: a fixed NAME, path:N (the Nth folder
 * of the path, counted from 1 at the left, negative from the file name) or an extended regular
 * expression with one group, matched against the path.
 */
#ifndef CANP_IO_DEVICE_RULE_H
#define CANP_IO_DEVICE_RULE_H

#include <stddef.h>

struct canp_device_rule;
struct canp_strbuf;

/* text is a regular expression when it contains a '('. 0; -EINVAL with a line in err. Control
 * plane; everything here runs before the shards start. */
int canp_device_rule_create(const char *text, struct canp_device_rule **out,
			    struct canp_strbuf *err);
void canp_device_rule_destroy(struct canp_device_rule *r);
/* Device of a path into buf (cap bytes with NUL); returns its length, 0 when the rule gives none.
 */
size_t canp_device_rule_apply(const struct canp_device_rule *r, const char *path, char *buf,
			      size_t cap);

#endif
